/* SPDX-License-Identifier: BSD-2-Clause */
/* waf_files.c - expands patterns, and looks at files without reading them. */
#include "config.h"

#include "filters/waf_files.h"

#include "server/file_watch.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILES_MAX 10000u        /* named by patterns */
#define FOLDER_FILES_MAX 10000u /* in one folder */

static int
no_memory(struct err *err)
{
    return err_set(err, "no memory for names of rule files");
}

/* ---- patterns */

static int
add_path(struct waf_files *files, const char *path)
{
    char **paths = realloc(files->paths, (files->count + 1) * sizeof(*paths));

    if (paths == NULL)
        return -1;
    files->paths = paths;
    paths[files->count] = strdup(path);
    if (paths[files->count] == NULL)
        return -1;
    files->count++;
    return 0;
}

static int
add_pattern(struct waf_files *files, struct slice pattern, struct err *err)
{
    glob_t found = { 0 };
    int status = glob(pattern.data, 0, NULL, &found);
    int result = 0;

    if (status == GLOB_NOMATCH)
        result = err_set(err, "%.*s: there is no such file", SLICE_ARG(pattern));
    else if (status != 0 || found.gl_pathc + files->count > FILES_MAX)
        result = err_set(err, "%.*s: these are more than %u files, or there is no memory",
                         SLICE_ARG(pattern), FILES_MAX);
    for (size_t i = 0; result == 0 && i < found.gl_pathc; i++)
        if (add_path(files, found.gl_pathv[i]) < 0)
            result = no_memory(err);
    globfree(&found);
    return result;
}

/* ---- identity */

static void
tell_state(FILE *out, const char *path)
{
    struct file_state state;

    file_state_take(&state, path);
    fprintf(out, "%s %" PRIx64 ".%" PRIx64 " %" PRIu64 " %" PRId64 " %" PRId64 "\n", path,
            state.device, state.inode, state.bytes, state.modified_ns, state.changed_ns);
}

static int
is_no_dot(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int
tell_folder(FILE *out, const char *folder, struct err *err)
{
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, is_no_dot, alphasort);
    int result = count > (int)FOLDER_FILES_MAX
                     ? err_set(err, "%s: has more than %u files, which may be rules or part of "
                               "them: expected a folder of its own", folder, FOLDER_FILES_MAX)
                     : 0;

    for (int i = 0; i < count; i++) { /* a folder that may not be listed tells nothing */
        char *path = NULL;

        if (result == 0 && asprintf(&path, "%s/%s", folder, entries[i]->d_name) >= 0)
            tell_state(out, path);
        free(path);
        free(entries[i]);
    }
    free(entries);
    return result;
}

/* Folders come one after the other as their files do, mostly: told again is no harm. */
static int
tell_folders(FILE *out, const struct waf_files *files, struct err *err)
{
    char *last = NULL;
    int result = 0;

    for (size_t i = 0; result == 0 && i < files->count; i++) {
        const char *slash = strrchr(files->paths[i], '/');
        char *folder = strndup(files->paths[i], (size_t)(slash - files->paths[i]));

        if (folder == NULL)
            result = no_memory(err);
        else if (last == NULL || strcmp(folder, last) != 0)
            result = tell_folder(out, folder, err);
        free(last);
        last = folder;
    }
    free(last);
    return result;
}

static int
identify(struct waf_files *files, struct err *err)
{
    size_t bytes = 0;
    FILE *out = open_memstream(&files->identity, &bytes);
    int result;

    if (out == NULL)
        return no_memory(err);
    for (size_t i = 0; i < files->count; i++)
        tell_state(out, files->paths[i]);
    result = tell_folders(out, files, err);
    if (fclose(out) != 0 && result == 0)
        result = no_memory(err);
    return result;
}

/* ---- */

int
waf_files_find(struct waf_files *files, const struct slice *patterns, size_t count,
               struct err *err)
{
    int result = 0;

    *files = (struct waf_files){ 0 };
    for (size_t i = 0; result == 0 && i < count; i++)
        result = add_pattern(files, patterns[i], err);
    if (result == 0)
        result = identify(files, err);
    if (result < 0)
        waf_files_free(files);
    return result;
}

void
waf_files_free(struct waf_files *files)
{
    for (size_t i = 0; i < files->count; i++)
        free(files->paths[i]);
    free(files->paths);
    free(files->identity);
    *files = (struct waf_files){ 0 };
}
