/* SPDX-License-Identifier: BSD-2-Clause */
/* list_topic.h - lists in `bascule status` and in metrics (server/admin/topic.h). */
#ifndef BASCULE_LIST_TOPIC_H
#define BASCULE_LIST_TOPIC_H

#include "server/admin/topic.h"

extern const struct topic list_topic;

#endif
