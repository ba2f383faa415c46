/* SPDX-License-Identifier: BSD-2-Clause */
/* filter_topic.h - what filters did, in `bascule status` and in metrics (server/admin/topic.h). */
#ifndef BASCULE_FILTER_TOPIC_H
#define BASCULE_FILTER_TOPIC_H

#include "server/admin/topic.h"

extern const struct topic filter_topic;

#endif
