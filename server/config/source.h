/* SPDX-License-Identifier: BSD-2-Clause */
/* source.h - the text of a configuration, and which file each line came from.
 *
 * Includes are put in place here, so that what follows sees one text. A source
 * can travel as one block of memory: the supervisor reads the files with its
 * privileges, the worker process parses them without.
 */
#ifndef BASCULE_SOURCE_H
#define BASCULE_SOURCE_H

#include "server/base/err.h"
#include "server/base/must.h"
#include "server/base/slice.h"
#include "server/config/option.h"

/* Lines from first_line of the text on came from file, from file_line on. */
struct config_span {
    uint32_t first_line;
    uint32_t file; /* index into files */
    uint32_t file_line;
};

struct config_source {
    char *text; /* ends with a newline and a NUL; holds no other NUL */
    size_t text_bytes;
    struct config_span *spans; /* sorted; the first begins at line 1 */
    size_t span_count;
    char **files; /* names as an operator would recognise them */
    size_t file_count;
};

/* Reads a file and all that it includes. `@include "NAME"` on a line of its own
 * is relative to the including file and may be a pattern ("conf.d/" followed
 * by "*.conf"), whose matches are taken in order of name; a pattern without
 * match is fine. At most 64 MiB in all, 10 files deep; a file that includes
 * itself is refused. Returns 0, or -1 with err saying where and why; *out is
 * empty then. */
int config_load(const char *path, struct config_source *out, struct err *err);

/* Copies text that is in memory; name stands for its file in errors. It cannot
 * include files. */
int config_source_from_text(const char *name, struct slice text, struct config_source *out,
                            struct err *err);

/* The span a line of the text lies in. */
const struct config_span *config_source_span(const struct config_source *source, unsigned line);

/* The file and line that a line of the text came from. Borrows the name. */
struct place config_source_place(const struct config_source *source, unsigned line);

/* The name of a text that was made of flags: nobody knows its lines, so they are not told. */
#define CONFIG_COMMAND_LINE "command line"

/* Sets err to "FILE:LINE: " and the message; to the message alone when line is 0. Returns -1. */
int config_place_fail(struct err *err, const struct place *place, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* Puts "FILE:LINE: " and the text in front of what err says. Returns -1. */
int config_place_prefix(struct err *err, const struct place *place, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* Like config_place_fail(), for a line of the text. */
int config_source_fail(const struct config_source *source, unsigned line, struct err *err,
                       const char *format, ...) PRINTF_LIKE(4, 5);

/* Puts all of it into one block from malloc(), which the caller frees; NULL
 * when memory is short. */
void *config_source_pack(const struct config_source *source, size_t *bytes);

/* Makes a source from such a block, which is not needed afterwards. A block
 * that was not packed by this program is refused. */
int config_source_unpack(struct config_source *out, const void *block, size_t bytes,
                         struct err *err);

void config_source_fini(struct config_source *source);

#endif
