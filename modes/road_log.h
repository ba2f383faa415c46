/* SPDX-License-Identifier: BSD-2-Clause */
/* road_log.h - what the access log says of an exchange. */
#ifndef BASCULE_ROAD_LOG_H
#define BASCULE_ROAD_LOG_H

#include "server/http/exchange.h"

/* Writes the line of an exchange that ends, if its listener logs at all. */
void road_log(struct exchange *ex);

/* Copies the names that the line will need, because the exchange is going to
 * outlive the snapshot they are in. */
void road_log_keep_names(struct exchange *ex);

#endif
