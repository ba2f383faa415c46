/* SPDX-License-Identifier: BSD-2-Clause */
/* list_load.c - reads the lines of files with a buffer of fixed size. */
#include "config.h"

#include "server/policy/list_load.h"

#include "server/base/log.h"
#include "server/base/must.h"
#include "server/opener.h"
#include "server/policy/list_formats.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BUFFER_BYTES ((size_t)256 << 10)

/* A file, as its lines come. */
struct reading {
    struct list_content *content;
    const struct list_conf *conf;
    const char *name;
    struct line_state state;
    bool has_begun, is_form_known;
    bool is_line_too_long; /* the rest of it is passed over */
    uint64_t line, good, bad, bytes;
    struct err why;        /* the first bad line, with its place */
};

/* ---- lines */

/* One more line makes no sense. why holds what is wrong with it. */
static int
note_bad(struct reading *reading, const struct err *why, struct err *err)
{
    if (reading->content->is_over)
        return err_set(err, "%s:%" PRIu64 ": %s", reading->name, reading->line, why->text);
    if (reading->bad++ == 0)
        err_set(&reading->why, "%s:%" PRIu64 ": %s", reading->name, reading->line, why->text);
    if (reading->bad <= (uint64_t)reading->conf->max_bad_lines)
        return 0;
    if (reading->bad == 1)
        return err_set(err, "%s", reading->why.text);
    return err_set(err, "%s; with it, %" PRIu64 " lines make no sense, more than max_bad_lines",
                   reading->why.text, reading->bad);
}

static struct slice
without_end(struct slice line)
{
    while (line.bytes > 0 && strchr(" \t\r", line.data[line.bytes - 1]) != NULL &&
           line.data[line.bytes - 1] != '\0')
        line.bytes--;
    return line;
}

static int
take_line(struct reading *reading, struct slice line, struct err *err)
{
    struct err why;

    reading->line++;
    if (reading->line == 1 && slice_starts_with(line, SLICE("\xef\xbb\xbf")))
        line = slice_skip(line, 3); /* the mark that some editors put in front of UTF-8 */
    line = without_end(line);
    if (line.bytes == 0)
        return 0;
    if (list_line_take(&reading->state, reading->content, line, &why) < 0)
        return note_bad(reading, &why, err);
    reading->good++;
    return 0;
}

static int
refuse_long_line(struct reading *reading, struct err *err)
{
    struct err why;

    reading->line++;
    err_set(&why, "the line is longer than %u bytes", LIST_LINE_BYTES_MAX);
    return note_bad(reading, &why, err);
}

/* Takes the lines that are whole; *used becomes their length. */
static int
take_lines(struct reading *reading, struct slice text, bool is_last, size_t *used,
           struct err *err)
{
    for (*used = 0; *used < text.bytes;) {
        struct slice rest = slice_skip(text, *used);
        ptrdiff_t at = slice_find(rest, '\n');
        bool is_whole = at >= 0 || is_last;
        size_t bytes = at >= 0 ? (size_t)at : rest.bytes;
        int result = 0;

        if (!is_whole && bytes <= LIST_LINE_BYTES_MAX)
            return 0;
        if (bytes > LIST_LINE_BYTES_MAX && !reading->is_line_too_long)
            result = refuse_long_line(reading, err);
        else if (!reading->is_line_too_long)
            result = take_line(reading, slice_make(rest.data, bytes), err);
        reading->is_line_too_long = !is_whole;
        *used += bytes + (at >= 0);
        if (result < 0)
            return -1;
    }
    return 0;
}

/* Names below others were left out so far, which one of them alone may be spared from. */
static void
expect_exceptions(struct list_content *content)
{
    if (!content->may_except_above && domain_set_count(&content->domains) > 0)
        content->is_zone_late = true;
    content->may_except_above = true;
}

static int
take_text(struct reading *reading, struct slice text, bool is_last, size_t *used,
          struct err *err)
{
    if (!reading->has_begun && !reading->is_form_known)
        reading->state.form = list_lines_guess(text);
    if (!reading->has_begun && reading->state.form == LINE_ZONE)
        expect_exceptions(reading->content);
    reading->has_begun = true;
    return take_lines(reading, text, is_last, used, err);
}

/* A page of a web server that says "not found" is no list, however short it is. */
static int
end_reading(const struct reading *reading, struct err *err)
{
    if (reading->bad == 0)
        return 0;
    if (reading->bad > reading->good)
        return err_set(err, "%s%s", reading->why.text,
                       reading->bad > 1 ? "; most lines of the file make no sense" : "");
    log_warn("list: %s%s", reading->why.text,
             reading->bad > 1 ? "; more such lines are passed over, too" : "");
    return 0;
}

/* ---- files */

static int
read_file(struct reading *reading, int fd, char *buffer, struct err *err)
{
    size_t filled = 0, used;
    ssize_t got;

    do {
        got = read(fd, buffer + filled, BUFFER_BYTES - filled);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_errno(err, "%s", reading->name);
        filled += (size_t)got;
        reading->bytes += (uint64_t)got;
        if (got > 0 && filled < BUFFER_BYTES)
            continue;
        if (take_text(reading, slice_make(buffer, filled), got == 0, &used, err) < 0)
            return -1;
        filled -= used;
        memmove(buffer, buffer + used, filled);
    } while (got != 0);
    return end_reading(reading, err);
}

/* What was asked for decides how a file is read; its name, in a folder of squidGuard. */
static void
choose_form(struct reading *reading, bool is_in_folder)
{
    const char *name = strrchr(reading->name, '/');

    reading->is_form_known = true;
    reading->state.form = LINE_PLAIN;
    if (is_in_folder || reading->conf->format == LIST_SQUIDGUARD) {
        if (name != NULL && strcmp(name, "/expressions") == 0)
            reading->state.form = LINE_EXPRESSION;
        return;
    }
    switch ((enum list_format)reading->conf->format) {
    case LIST_AUTO:
        reading->is_form_known = reading->conf->kind == LIST_NETWORKS;
        break;
    case LIST_PLAIN:
    case LIST_SQUIDGUARD:
        break;
    case LIST_HOSTS:
        reading->state.form = LINE_HOSTS;
        break;
    case LIST_ADBLOCK:
        reading->state.form = LINE_ADBLOCK;
        break;
    case LIST_RPZ:
        reading->state.form = LINE_ZONE;
        break;
    }
}

static struct reading *
reading_new(struct list_content *content, const struct list_conf *conf, const char *name,
            bool is_in_folder)
{
    struct reading *reading = calloc(1, sizeof(*reading)); /* large for a thread's stack */

    if (reading == NULL)
        return NULL;
    reading->content = content;
    reading->conf = conf;
    reading->name = name;
    choose_form(reading, is_in_folder);
    return reading;
}

int
list_load_bytes(struct list_content *content, const struct list_conf *conf, struct slice bytes,
                const char *name, struct err *err)
{
    struct reading *reading = reading_new(content, conf, name, false);
    int result;
    size_t used;

    if (reading == NULL)
        return err_set(err, "%s: out of memory", name);
    result = take_text(reading, bytes, true, &used, err);
    if (result == 0)
        result = end_reading(reading, err);
    free(reading);
    return result;
}

/* 1: it was read; 0: it is not there, and need not be; -1 with err. */
static int
load_file(struct list_content *content, const struct list_conf *conf, const char *path,
          unsigned siblings, bool is_reload, struct err *err)
{
    struct reading *reading;
    char *buffer;
    int fd = opener_open(path, err), result = -1;

    if (fd < 0)
        return siblings > 1 && errno == ENOENT ? 0 : -1;
    reading = reading_new(content, conf, path, siblings > 1);
    buffer = malloc(BUFFER_BYTES);
    if (reading == NULL || buffer == NULL)
        err_set(err, "%s: out of memory", path);
    else
        result = read_file(reading, fd, buffer, err) < 0 ? -1 : 1;
    if (result > 0 && is_reload && reading->bytes == 0)
        result = err_set(err, "%s: is empty; a list of nothing has a comment in it", path);
    close(fd);
    free(buffer);
    free(reading);
    return result;
}

/* ---- lists */

static bool
is_folder(const struct list_conf *conf, struct slice file)
{
    struct stat st;

    if (conf->format == LIST_SQUIDGUARD)
        return true;
    return conf->format == LIST_AUTO && conf->kind != LIST_NETWORKS &&
           stat(file.data, &st) == 0 && S_ISDIR(st.st_mode);
}

unsigned
list_paths(const struct list_conf *conf, struct slice file, const char **paths,
           struct arena *text)
{
    static const char *const names[] = { "domains", "urls", "expressions" };
    unsigned count = conf->kind == LIST_URLS ? ARRAY_COUNT(names) : 1;

    if (!is_folder(conf, file)) {
        paths[0] = file.data;
        return 1;
    }
    for (unsigned i = 0; i < count; i++) {
        struct slice path = arena_printf(text, "%s/%s", file.data, names[i]);

        if (arena_is_spent(text))
            return 0;
        paths[i] = path.data;
    }
    return count;
}

static int
load_one(struct list_content *content, const struct list_conf *conf, struct slice file,
         bool is_reload, struct err *err)
{
    const char *paths[LIST_FILE_PATHS];
    struct arena text;
    unsigned count;
    int found = 0, result = 0;

    arena_init(&text, NULL, 4 * BLOCK_BYTES + 4 * file.bytes);
    count = list_paths(conf, file, paths, &text);
    for (unsigned i = 0; i < count && result >= 0; i++) {
        result = load_file(content, conf, paths[i], count, is_reload, err);
        found += result > 0;
    }
    arena_fini(&text);
    if (result < 0)
        return -1;
    if (count == 0)
        return err_set(err, "%s: out of memory", file.data);
    return found > 0 ? 0 : err_set(err, "%s: has neither \"domains\" nor \"urls\" nor "
                                   "\"expressions\" in it", file.data);
}

static int
add_items(struct list_content *content, const struct list_conf *conf, struct err *err)
{
    for (size_t i = 0; i < conf->items.count; i++)
        if (list_content_add(content, conf->items.items[i], err) < 0)
            return -1;
    return 0;
}

static struct list_content *
load_all(const struct list_conf *conf, bool may_except_above, bool is_reload, struct err *err)
{
    struct list_content *content = list_content_new(conf);

    if (content == NULL) {
        err_set(err, "list \"%s\": out of memory", conf->name);
        return NULL;
    }
    content->may_except_above = may_except_above;
    if (add_items(content, conf, err) < 0)
        goto fail;
    for (size_t i = 0; i < conf->files.count; i++)
        if (load_one(content, conf, conf->files.items[i], is_reload, err) < 0)
            goto fail;
    if (list_content_seal(content) < 0) {
        err_set(err, "list \"%s\": out of memory", conf->name);
        goto fail;
    }
    content->loaded_s = (int64_t)time(NULL);
    return content;

fail:
    list_content_free(content);
    return NULL;
}

struct list_content *
list_load(const struct list_conf *conf, bool is_reload, struct err *err)
{
    struct list_content *content = load_all(conf, conf->format == LIST_RPZ, is_reload, err);

    if (content == NULL || !content->is_zone_late)
        return content;
    list_content_free(content);
    return load_all(conf, true, is_reload, err);
}
