/* SPDX-License-Identifier: BSD-2-Clause */
/* source.c - reads configuration files and puts includes in place.
 *
 * libconfig could include files by itself, but knows neither patterns nor
 * paths relative to the including file, and would need the privileges to read
 * them where it parses.
 */
#include "config.h"

#include "server/config/source.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/config/lexer.h"

#define TEXT_MAX_BYTES ((size_t)64 << 20)
#define DEPTH_MAX 10
#define FILES_MAX 65536u /* opened in all: empty ones cost no bytes */
#define PACK_MAGIC UINT64_C(0x31636c7563736162)

/* A file whose text is being put in place. */
struct open_file {
    const struct open_file *parent; /* includes this one; NULL for the first */
    unsigned parent_line;
    const char *name;
    unsigned index; /* in files */
    unsigned depth;
    dev_t device;
    ino_t inode;
};

struct loader {
    struct config_source *out;
    size_t text_room, span_room, file_room;
    unsigned line; /* of out->text that comes next */
    struct err *err;
};

/* ---- growing what is loaded */

/* Room for more items behind count. NULL when memory is short. */
static void *
grow(void *items, size_t count, size_t more, size_t *room, size_t item_bytes)
{
    size_t wanted = *room * 2 + more;
    void *grown;

    if (count + more <= *room)
        return items;
    grown = realloc(items, wanted * item_bytes);
    if (grown != NULL)
        *room = wanted;
    return grown;
}

static int
memory_is_short(struct loader *loader)
{
    return err_set(loader->err, "memory is short for the configuration");
}

static int
append_text(struct loader *loader, struct slice s)
{
    struct config_source *out = loader->out;
    char *text;

    if (s.bytes > TEXT_MAX_BYTES - out->text_bytes)
        return err_set(loader->err, "the configuration is longer than %zu MiB in all",
                       TEXT_MAX_BYTES >> 20);
    text = grow(out->text, out->text_bytes, s.bytes + 1, &loader->text_room, 1);
    if (text == NULL)
        return memory_is_short(loader);
    out->text = text;
    if (s.bytes > 0)
        memcpy(text + out->text_bytes, s.data, s.bytes);
    out->text_bytes += s.bytes;
    text[out->text_bytes] = '\0';
    for (size_t i = 0; i < s.bytes; i++)
        loader->line += s.data[i] == '\n';
    return 0;
}

/* What is appended next is file's text from file_line on. */
static int
begin_span(struct loader *loader, unsigned file, unsigned file_line)
{
    struct config_source *out = loader->out;
    struct config_span *spans = out->spans;

    if (out->span_count > 0 && spans[out->span_count - 1].first_line == loader->line) {
        spans[out->span_count - 1] = (struct config_span){ loader->line, file, file_line };
        return 0;
    }
    spans = grow(spans, out->span_count, 1, &loader->span_room, sizeof(*spans));
    if (spans == NULL)
        return memory_is_short(loader);
    out->spans = spans;
    spans[out->span_count++] = (struct config_span){ loader->line, file, file_line };
    return 0;
}

static int
add_file(struct loader *loader, const char *name, unsigned *index)
{
    struct config_source *out = loader->out;
    char **files;

    if (out->file_count >= FILES_MAX)
        return err_set(loader->err, "more than %u files are included", FILES_MAX);
    files = grow(out->files, out->file_count, 1, &loader->file_room, sizeof(*files));
    if (files == NULL)
        return memory_is_short(loader);
    out->files = files;
    files[out->file_count] = strdup(name);
    if (files[out->file_count] == NULL)
        return memory_is_short(loader);
    *index = (unsigned)out->file_count++;
    return 0;
}

/* ---- one file */

static int load_file(struct loader *loader, const char *path, struct open_file *file);

/* "a.conf > b.conf > a.conf" */
static void
write_chain(const struct open_file *file, char *text, size_t bytes)
{
    size_t used;

    if (file->parent != NULL)
        write_chain(file->parent, text, bytes);
    used = strlen(text);
    snprintf(text + used, bytes - used, "%s%s", used > 0 ? " > " : "", file->name);
}

static int
check_circle(struct loader *loader, const struct open_file *file)
{
    char chain[700] = "";

    for (const struct open_file *above = file->parent; above != NULL; above = above->parent) {
        if (above->device != file->device || above->inode != file->inode)
            continue;
        write_chain(file, chain, sizeof(chain));
        return err_set(loader->err, "\"%s\" includes itself: %s", file->name, chain);
    }
    return 0;
}

/* Opens what must not block: an included file is a plain one. The first may
 * also be a pipe or a terminal. */
static int
open_plain(struct loader *loader, const char *path, struct open_file *file)
{
    int flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | (file->parent != NULL ? O_NONBLOCK : 0);
    int fd = open(path, flags);
    struct stat st;

    if (fd < 0)
        return err_errno(loader->err, "cannot open \"%s\"", path);
    if (fstat(fd, &st) < 0) {
        err_errno(loader->err, "cannot examine \"%s\"", path);
        goto fail;
    }
    if (S_ISDIR(st.st_mode)) {
        err_set(loader->err, "\"%s\" is a directory; write \"%s/*.conf\" to include its files",
                path, path);
        goto fail;
    }
    if (file->parent != NULL && !S_ISREG(st.st_mode)) {
        err_set(loader->err, "\"%s\" is not a plain file", path);
        goto fail;
    }
    file->device = st.st_dev;
    file->inode = st.st_ino;
    return fd;

fail:
    close(fd);
    return -1;
}

/* All bytes of the descriptor, from malloc(). NULL with err. */
static char *
read_all(struct loader *loader, int fd, const char *path, size_t *bytes)
{
    size_t room = 0, count = 0;
    char *text = NULL, *grown;
    ssize_t got;

    do {
        grown = grow(text, count, 16384, &room, 1);
        if (grown == NULL) {
            memory_is_short(loader);
            goto fail;
        }
        text = grown;
        got = read(fd, text + count, room - count);
        if (got < 0 && errno != EINTR) {
            err_errno(loader->err, "cannot read \"%s\"", path);
            goto fail;
        }
        count += got > 0 ? (size_t)got : 0;
    } while (got != 0 && count <= TEXT_MAX_BYTES);
    *bytes = count;
    return text;

fail:
    free(text);
    return NULL;
}

/* Puts "FILE:LINE: " in front of the text of err. */
static int
prefix_place(struct loader *loader, const struct open_file *file, unsigned line)
{
    return err_prefix(loader->err, "%s:%u: ", file->name, line);
}

/* The path an include means: relative to the directory of the file it stands
 * in. With is_pattern, that directory is protected from being one itself. */
static char *
resolve(const char *from, struct slice name, bool is_pattern)
{
    const char *slash = strrchr(from, '/');
    size_t directory = name.data[0] == '/' || slash == NULL ? 0 : (size_t)(slash - from) + 1;
    char *path = malloc(directory * 2 + name.bytes + 1), *at = path;

    if (path == NULL)
        return NULL;
    for (size_t i = 0; i < directory; i++) {
        if (is_pattern && strchr("*?[]\\", from[i]) != NULL)
            *at++ = '\\';
        *at++ = from[i];
    }
    for (size_t i = 0; i < name.bytes; i++) {
        bool is_escape = name.data[i] == '\\' && i + 1 < name.bytes &&
                         (name.data[i + 1] == '"' || name.data[i + 1] == '\\');

        i += is_escape;
        *at++ = name.data[i];
    }
    *at = '\0';
    return path;
}

static int
include_pattern(struct loader *loader, const char *pattern, struct open_file *file)
{
    glob_t found;
    int result = glob(pattern, GLOB_ERR, NULL, &found);

    if (result == GLOB_NOMATCH)
        return 0;
    if (result == GLOB_NOSPACE)
        return memory_is_short(loader);
    if (result != 0) {
        err_errno(loader->err, "cannot list \"%s\"", pattern);
        return prefix_place(loader, file->parent, file->parent_line);
    }
    for (size_t i = 0; i < found.gl_pathc && result == 0; i++)
        result = load_file(loader, found.gl_pathv[i], file);
    globfree(&found);
    return result;
}

static int
include(struct loader *loader, const struct open_file *parent, struct token token)
{
    struct open_file file = {
        .parent = parent, .parent_line = token.line, .depth = parent->depth + 1,
    };
    struct slice name;
    bool is_pattern;
    char *path;
    int result;

    if (!token_include_name(token, &name)) {
        err_set(loader->err, "write @include \"FILE\" and nothing else on the line");
        return prefix_place(loader, parent, token.line);
    }
    if (file.depth > DEPTH_MAX) {
        err_set(loader->err, "includes are nested more than %d deep", DEPTH_MAX);
        return prefix_place(loader, parent, token.line);
    }
    is_pattern = slice_find(name, '*') >= 0 || slice_find(name, '?') >= 0 ||
                 slice_find(name, '[') >= 0;
    path = resolve(parent->name, name, is_pattern);
    if (path == NULL)
        return memory_is_short(loader);
    result = is_pattern ? include_pattern(loader, path, &file) : load_file(loader, path, &file);
    free(path);
    return result;
}

/* Refuses what would leave the next file inside a string or a comment. */
static int
check_token(struct loader *loader, const struct open_file *file, struct token token,
            unsigned long_string)
{
    if (token.kind == TOKEN_BAD_COMMENT)
        err_set(loader->err, "the comment that begins here is never closed");
    else if (token.kind != TOKEN_BAD_STRING)
        return 0;
    else if (long_string == 0)
        err_set(loader->err, "the string that begins here is never closed");
    else
        err_set(loader->err, "the string that begins here is never closed; or is a quote missing "
                "at line %u, where a string runs over the end of the line?", long_string);
    return prefix_place(loader, file, token.line);
}

/* Appends text with its includes in place. */
static int
expand(struct loader *loader, const struct open_file *file, struct slice text)
{
    unsigned long_string = 0; /* where the last string of several lines began */
    struct lexer lexer;
    struct token token;
    size_t done = 0;

    lexer_init(&lexer, text);
    if (begin_span(loader, file->index, 1) < 0)
        return -1;
    do {
        token = lexer_next(&lexer);
        if (token.kind == TOKEN_STRING && slice_find(token.text, '\n') >= 0)
            long_string = token.line;
        if (check_token(loader, file, token, long_string) < 0)
            return -1;
        if (token.kind != TOKEN_INCLUDE)
            continue;
        if (append_text(loader, slice_make(text.data + done,
                                           (size_t)(token.text.data - text.data) - done)) < 0 ||
            include(loader, file, token) < 0 ||
            begin_span(loader, file->index, token.line + 1) < 0)
            return -1;
        done = lexer.at < text.bytes ? lexer.at + 1 : lexer.at; /* with its newline */
    } while (token.kind != TOKEN_END);
    text = slice_skip(text, done);
    if (append_text(loader, text) < 0)
        return -1;
    /* libconfig wants a newline behind a comment, and so does the next file. */
    if (text.bytes > 0 && text.data[text.bytes - 1] != '\n')
        return append_text(loader, SLICE("\n"));
    return 0;
}

/* A byte order mark is dropped, a NUL refused: libconfig would stop there. */
static int
check_bytes(struct loader *loader, const struct open_file *file, struct slice *text)
{
    unsigned line = 1;
    ptrdiff_t nul;

    if (slice_starts_with(*text, SLICE("\xef\xbb\xbf")))
        *text = slice_skip(*text, 3);
    nul = slice_find(*text, '\0');
    if (nul < 0)
        return 0;
    for (ptrdiff_t i = 0; i < nul; i++)
        line += text->data[i] == '\n';
    err_set(loader->err, "a NUL byte, which text does not have");
    return prefix_place(loader, file, line);
}

/* Errors about the file itself name the line that includes it. */
static char *
read_file(struct loader *loader, const char *path, struct open_file *file, size_t *bytes)
{
    char *text = NULL;
    int fd = open_plain(loader, path, file);

    if (fd >= 0) {
        if (check_circle(loader, file) == 0)
            text = read_all(loader, fd, path, bytes);
        close(fd);
    }
    if (text == NULL && file->parent != NULL)
        prefix_place(loader, file->parent, file->parent_line);
    return text;
}

static int
load_file(struct loader *loader, const char *path, struct open_file *file)
{
    struct slice text = { NULL, 0 };
    int result = -1;
    char *bytes;

    file->name = path;
    bytes = read_file(loader, path, file, &text.bytes);
    if (bytes == NULL)
        return -1;
    text.data = bytes;
    if (add_file(loader, path, &file->index) == 0 && check_bytes(loader, file, &text) == 0)
        result = expand(loader, file, text);
    free(bytes);
    return result;
}

int
config_load(const char *path, struct config_source *out, struct err *err)
{
    struct loader loader = { .out = out, .line = 1, .err = err };
    struct open_file file = { .parent = NULL };

    *out = (struct config_source){ .text = NULL };
    if (load_file(&loader, path, &file) == 0)
        return 0;
    config_source_fini(out);
    return -1;
}

int
config_source_from_text(const char *name, struct slice text, struct config_source *out,
                        struct err *err)
{
    struct loader loader = { .out = out, .line = 1, .err = err };
    struct open_file file = { .name = name };
    struct lexer lexer;
    struct token token;

    *out = (struct config_source){ .text = NULL };
    lexer_init(&lexer, text);
    do {
        token = lexer_next(&lexer);
        if (token.kind == TOKEN_INCLUDE) {
            err_set(err, "files cannot be included here");
            return prefix_place(&loader, &file, token.line);
        }
    } while (token.kind != TOKEN_END);
    if (add_file(&loader, name, &file.index) == 0 && check_bytes(&loader, &file, &text) == 0 &&
        expand(&loader, &file, text) == 0)
        return 0;
    config_source_fini(out);
    return -1;
}

/* ---- places */

const struct config_span *
config_source_span(const struct config_source *source, unsigned line)
{
    size_t low = 0, high = source->span_count;

    /* The last span that begins at or before the line. */
    while (high - low > 1) {
        size_t middle = (low + high) / 2;

        if (source->spans[middle].first_line <= line)
            low = middle;
        else
            high = middle;
    }
    return &source->spans[low];
}

struct place
config_source_place(const struct config_source *source, unsigned line)
{
    const struct config_span *span = config_source_span(source, line);

    return (struct place){ .file = source->files[span->file],
                           .line = line - span->first_line + span->file_line };
}

int
config_place_fail(struct err *err, const struct place *place, const char *format, ...)
{
    char text[sizeof(err->text)];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (place->line == 0)
        return err_set(err, "%s", text);
    if (strcmp(place->file, CONFIG_COMMAND_LINE) == 0)
        return err_set(err, "%s: %s", place->file, text);
    return err_set(err, "%s:%u: %s", place->file, place->line, text);
}

int
config_place_prefix(struct err *err, const struct place *place, const char *format, ...)
{
    char text[sizeof(err->text)];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    err_prefix(err, "%s", text);
    snprintf(text, sizeof(text), "%s", err->text);
    return config_place_fail(err, place, "%s", text);
}

int
config_source_fail(const struct config_source *source, unsigned line, struct err *err,
                   const char *format, ...)
{
    struct place place = config_source_place(source, line);
    char text[sizeof(err->text)];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return config_place_fail(err, &place, "%s", text);
}

/* ---- one block */

/* A block: this, the spans, the names with a NUL behind each, the text. */
struct pack_head {
    uint64_t magic;
    uint64_t span_count, file_count, names_bytes, text_bytes;
};

void *
config_source_pack(const struct config_source *source, size_t *bytes)
{
    size_t span_bytes = source->span_count * sizeof(*source->spans);
    struct pack_head head = {
        PACK_MAGIC, source->span_count, source->file_count, 0, source->text_bytes,
    };
    char *block, *at;

    for (size_t i = 0; i < source->file_count; i++)
        head.names_bytes += strlen(source->files[i]) + 1;
    *bytes = sizeof(head) + span_bytes + (size_t)head.names_bytes + source->text_bytes;
    block = malloc(*bytes);
    if (block == NULL)
        return NULL;
    at = mempcpy(block, &head, sizeof(head));
    at = mempcpy(at, source->spans, span_bytes);
    for (size_t i = 0; i < source->file_count; i++)
        at = stpcpy(at, source->files[i]) + 1;
    memcpy(at, source->text, source->text_bytes);
    return block;
}

/* Takes n bytes off the block; NULL when there are fewer. */
static const char *
take(struct slice *block, uint64_t n)
{
    const char *at = block->data;

    if (n > block->bytes)
        return NULL;
    *block = slice_skip(*block, (size_t)n);
    return at;
}

static bool
take_names(struct config_source *out, struct slice names, uint64_t count)
{
    out->files = calloc((size_t)count, sizeof(*out->files));
    if (out->files == NULL)
        return false;
    for (; out->file_count < count; out->file_count++) {
        ptrdiff_t end = slice_find(names, '\0');

        if (end < 0)
            return false;
        out->files[out->file_count] = strdup(names.data);
        if (out->files[out->file_count] == NULL)
            return false;
        names = slice_skip(names, (size_t)end + 1);
    }
    return names.bytes == 0;
}

static bool
take_spans(struct config_source *out, const char *spans, uint64_t count)
{
    out->spans = malloc((size_t)count * sizeof(*out->spans));
    if (out->spans == NULL)
        return false;
    memcpy(out->spans, spans, (size_t)count * sizeof(*out->spans));
    out->span_count = (size_t)count;
    for (size_t i = 0; i < out->span_count; i++)
        if (out->spans[i].file >= out->file_count ||
            (i > 0 ? out->spans[i].first_line <= out->spans[i - 1].first_line
                   : out->spans[i].first_line != 1))
            return false;
    return true;
}

static bool
take_text(struct config_source *out, struct slice text)
{
    if (text.bytes > TEXT_MAX_BYTES || slice_find(text, '\0') >= 0)
        return false;
    out->text = strndup(text.data, text.bytes);
    out->text_bytes = text.bytes;
    return out->text != NULL;
}

static bool
unpack(struct config_source *out, struct slice block)
{
    const char *spans, *names, *text;
    struct pack_head head;

    if (block.bytes < sizeof(head))
        return false;
    memcpy(&head, take(&block, sizeof(head)), sizeof(head));
    if (head.magic != PACK_MAGIC || head.span_count == 0 || head.file_count == 0 ||
        head.file_count > FILES_MAX || head.span_count > block.bytes / sizeof(*out->spans))
        return false;
    spans = take(&block, head.span_count * sizeof(*out->spans));
    names = take(&block, head.names_bytes);
    text = names != NULL ? take(&block, head.text_bytes) : NULL;
    return text != NULL && block.bytes == 0 &&
           take_names(out, slice_make(names, (size_t)head.names_bytes), head.file_count) &&
           take_spans(out, spans, head.span_count) &&
           take_text(out, slice_make(text, (size_t)head.text_bytes));
}

int
config_source_unpack(struct config_source *out, const void *block, size_t bytes, struct err *err)
{
    *out = (struct config_source){ .text = NULL };
    if (unpack(out, slice_make(block, bytes)))
        return 0;
    config_source_fini(out);
    return err_set(err, "the configuration did not arrive whole");
}

void
config_source_fini(struct config_source *source)
{
    for (size_t i = 0; i < source->file_count; i++)
        free(source->files[i]);
    free(source->files);
    free(source->spans);
    free(source->text);
    *source = (struct config_source){ .text = NULL };
}
