/* SPDX-License-Identifier: BSD-2-Clause */
/* ban_topic.h - tables of bans on the control socket: shown, and changed by hand. */
#ifndef BASCULE_BAN_TOPIC_H
#define BASCULE_BAN_TOPIC_H

#include "server/admin/topic.h"

/* Words of a request, with tabs between; TABLE may be empty: the only one there is.
 *
 *     ban  list    TABLE  text|json       (empty: of all tables)
 *     ban  add     TABLE  KEY  TIME  CAUSE (TIME empty: as long as the table says)
 *     ban  remove  TABLE  KEY
 *     ban  import  TABLE  OBJECT ...      (as ban list json writes them; empty: theirs)
 */
extern const struct topic ban_topic;

#endif
