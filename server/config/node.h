/* SPDX-License-Identifier: BSD-2-Clause */
/* node.h - the settings of a parsed configuration.
 *
 * All that the rest of Bascule sees of libconfig: a tree of nodes, each with a
 * kind, a value and the line it stands on.
 */
#ifndef BASCULE_CONFIG_NODE_H
#define BASCULE_CONFIG_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/base/err.h"
#include "server/base/slice.h"

struct config_node;
struct config_tree;

enum config_kind {
    CONFIG_GROUP, /* { ... } */
    CONFIG_LIST,  /* ( ... ) or [ ... ] */
    CONFIG_TEXT,
    CONFIG_INT,
    CONFIG_FLOAT,
    CONFIG_BOOL,
};

/* Parses text. NULL with err, and *line set to where in the text. */
struct config_tree *config_tree_new(const char *text, unsigned *line, struct err *err);

/* A tree with nothing but one setting of this name and text, on line 0. NULL
 * when memory is short. */
struct config_tree *config_tree_of(const char *name, const char *text);

/* The group of all settings. */
const struct config_node *config_tree_root(const struct config_tree *tree);

/* NULL is fine. */
void config_tree_free(struct config_tree *tree);

enum config_kind config_node_kind(const struct config_node *node);

/* The value; only for a node of that kind. Text is NUL-terminated and lives as
 * long as the tree. */
struct slice config_node_text(const struct config_node *node);
int64_t config_node_int(const struct config_node *node);
double config_node_float(const struct config_node *node);
bool config_node_bool(const struct config_node *node);

/* Members of a group, elements of a list, in the order written; 0 for others. */
size_t config_node_count(const struct config_node *node);
const struct config_node *config_node_at(const struct config_node *node, size_t i);

/* A member of a group by name, or NULL. Looks at each: not for long groups. */
const struct config_node *config_node_find(const struct config_node *node, const char *name);

/* Its name; NULL for an element of a list. */
const char *config_node_name(const struct config_node *node);

/* The line of the text that was parsed. */
unsigned config_node_line(const struct config_node *node);

/* The value in words: `the text "on"`, `the number 5`, "a group". Uses the
 * room of text when it needs any. */
#define CONFIG_VALUE_BYTES 96
const char *config_node_value_text(const struct config_node *node, char *text);

#endif
