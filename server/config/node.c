/* SPDX-License-Identifier: BSD-2-Clause */
/* node.c - libconfig, and nothing of it beyond this file.
 *
 * A node is a config_setting_t under another name.
 */
#include "config.h"

#include "server/config/node.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <libconfig.h>

#include "server/base/must.h"

struct config_tree {
    config_t config;
};

static const config_setting_t *
setting_of(const struct config_node *node)
{
    return (const config_setting_t *)(const void *)node;
}

static const struct config_node *
node_of(const config_setting_t *setting)
{
    return (const struct config_node *)(const void *)setting;
}

struct config_tree *
config_tree_new(const char *text, unsigned *line, struct err *err)
{
    struct config_tree *tree = calloc(1, sizeof(*tree));

    if (tree == NULL) {
        err_set(err, "memory is short for the configuration");
        return NULL;
    }
    config_init(&tree->config);
    if (config_read_string(&tree->config, text) == CONFIG_TRUE)
        return tree;
    *line = (unsigned)config_error_line(&tree->config);
    err_set(err, "%s", config_error_text(&tree->config));
    config_tree_free(tree);
    return NULL;
}

struct config_tree *
config_tree_of(const char *name, const char *text)
{
    struct config_tree *tree = calloc(1, sizeof(*tree));
    config_setting_t *setting;

    if (tree == NULL)
        return NULL;
    config_init(&tree->config);
    setting = config_setting_add(config_root_setting(&tree->config), name, CONFIG_TYPE_STRING);
    if (setting != NULL && config_setting_set_string(setting, text) == CONFIG_TRUE)
        return tree;
    config_tree_free(tree);
    return NULL;
}

const struct config_node *
config_tree_root(const struct config_tree *tree)
{
    return node_of(config_root_setting(&tree->config));
}

void
config_tree_free(struct config_tree *tree)
{
    if (tree == NULL)
        return;
    config_destroy(&tree->config);
    free(tree);
}

enum config_kind
config_node_kind(const struct config_node *node)
{
    int type = config_setting_type(setting_of(node));

    if (type == CONFIG_TYPE_GROUP)
        return CONFIG_GROUP;
    if (type == CONFIG_TYPE_LIST || type == CONFIG_TYPE_ARRAY)
        return CONFIG_LIST;
    if (type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64)
        return CONFIG_INT;
    if (type == CONFIG_TYPE_FLOAT)
        return CONFIG_FLOAT;
    if (type == CONFIG_TYPE_BOOL)
        return CONFIG_BOOL;
    must(type == CONFIG_TYPE_STRING);
    return CONFIG_TEXT;
}

struct slice
config_node_text(const struct config_node *node)
{
    const char *text = config_setting_get_string(setting_of(node));

    return slice_of(text != NULL ? text : "");
}

int64_t
config_node_int(const struct config_node *node)
{
    return config_setting_get_int64(setting_of(node)); /* of 32-bit ones as well */
}

double
config_node_float(const struct config_node *node)
{
    return config_setting_get_float(setting_of(node));
}

bool
config_node_bool(const struct config_node *node)
{
    return config_setting_get_bool(setting_of(node)) == CONFIG_TRUE;
}

size_t
config_node_count(const struct config_node *node)
{
    enum config_kind kind = config_node_kind(node);

    if (kind != CONFIG_GROUP && kind != CONFIG_LIST)
        return 0;
    return (size_t)config_setting_length(setting_of(node));
}

const struct config_node *
config_node_at(const struct config_node *node, size_t i)
{
    return node_of(config_setting_get_elem(setting_of(node), (unsigned)i));
}

const struct config_node *
config_node_find(const struct config_node *node, const char *name)
{
    return node_of(config_setting_get_member(setting_of(node), name));
}

const char *
config_node_name(const struct config_node *node)
{
    return config_setting_name(setting_of(node));
}

unsigned
config_node_line(const struct config_node *node)
{
    return config_setting_source_line(setting_of(node));
}

const char *
config_node_value_text(const struct config_node *node, char *text)
{
    switch (config_node_kind(node)) {
    case CONFIG_GROUP:
        return "a group";
    case CONFIG_LIST:
        return "a list";
    case CONFIG_TEXT:
        snprintf(text, CONFIG_VALUE_BYTES, "the text \"%.60s\"", config_node_text(node).data);
        break;
    case CONFIG_INT:
        snprintf(text, CONFIG_VALUE_BYTES, "the number %" PRId64, config_node_int(node));
        break;
    case CONFIG_FLOAT:
        snprintf(text, CONFIG_VALUE_BYTES, "the number %g", config_node_float(node));
        break;
    case CONFIG_BOOL:
        return config_node_bool(node) ? "true" : "false";
    }
    return text;
}
