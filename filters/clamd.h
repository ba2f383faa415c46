/* SPDX-License-Identifier: BSD-2-Clause */
/* clamd.h - content is scanned by ClamAV's daemon before all of it has passed.
 *
 *     filters = ( { filter = "clamd"; to = [ "unix:/run/clamav/clamd.ctl" ]; } );
 *
 * Downloads are scanned on the fetch side, so that what is cached was scanned once, and
 * uploads on the request side.
 */
#ifndef BASCULE_CLAMD_H
#define BASCULE_CLAMD_H

#include "filters/filter.h"

extern const struct filter_ops clamd_filter;

#endif
