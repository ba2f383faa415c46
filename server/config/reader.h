/* SPDX-License-Identifier: BSD-2-Clause */
/* reader.h - reads a configuration into structs, as option tables say.
 *
 *     struct config_source source;
 *     config_load("bascule.conf", &source, &err);
 *     config_source_read(&source, conf_options, conf, &arena, &err, NULL);
 *
 * Parse functions of tables look at a value through its node (node.h).
 */
#ifndef BASCULE_CONFIG_READER_H
#define BASCULE_CONFIG_READER_H

#include "server/base/arena.h"
#include "server/base/err.h"
#include "server/config/node.h"
#include "server/config/option.h"
#include "server/config/source.h"

#define CONFIG_ERRORS_MAX 20

/* Everything that is wrong, up to a limit, in the order of the file. */
struct config_errors {
    size_t count;
    struct err items[CONFIG_ERRORS_MAX];
};

/* Reads the source into *target, a zeroed struct that table describes; what is
 * not given gets its default. Memory comes from arena, nothing is borrowed from
 * source. Returns 0, or -1 with err saying the first thing that is wrong and
 * all (may be NULL) the others too: file, line, the path of names that leads
 * there, what was found and what would be accepted. */
int config_source_read(const struct config_source *source, const struct option *table,
                       void *target, struct arena *arena, struct err *err,
                       struct config_errors *all);

/* ---- for parse functions of tables
 *
 * Their err continues a sentence that begins with the option's name. When it
 * is left empty, the failure counts as reported already. */

/* Where a node was written; the name of the file is the snapshot's. */
struct place config_node_place(struct config_reader *reader, const struct config_node *node);

/* Where what is read is kept. */
struct arena *config_reader_arena(struct config_reader *reader);

/* Reads a group node by a table of its own into *target of target_bytes,
 * defaults included. 0, or -1 after having reported what is wrong. */
int config_read_group(struct config_reader *reader, const struct config_node *node,
                      const struct option *table, void *target, size_t target_bytes);

/* Sets err, and node's place as the one to name instead of the option's.
 * Returns -1. */
int config_fail(struct config_reader *reader, const struct config_node *node, struct err *err,
                const char *format, ...) PRINTF_LIKE(4, 5);

#endif
