/* SPDX-License-Identifier: BSD-2-Clause */
/* anonymity.h - the filter that keeps from origins who is asking.
 *
 *     { filter = "anonymity"; profile = "strict"; keep = [ "X-CSRF-Token" ]; }
 *     { filter = "anonymity"; cookies = "no_third_party"; tracking_parameters = true; }
 *
 * Forward listeners have it by default: their option "anonymity" names the
 * profile. Such a filter leaves requests alone that go to a site of our own,
 * because a site is meant to know its visitors; one that is written into a list
 * of filters acts on all that passes there.
 */
#ifndef BASCULE_ANONYMITY_H
#define BASCULE_ANONYMITY_H

#include "filters/filter.h"

struct field_set;

enum anonymity_profile { ANONYMITY_OFF, ANONYMITY_ON, ANONYMITY_STRICT };

/* The words of the profiles; ends with NULL. */
extern const char *const anonymity_words[];

/* The filter with that profile and all else by default. Static. */
const struct filter_conf *anonymity_default(enum anonymity_profile profile);

extern const struct filter_ops anonymity_filter;

/* What the profile "on" takes out; shown for its test. */
extern const struct field_set anonymity_telling;

#endif
