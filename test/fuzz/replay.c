/* SPDX-License-Identifier: BSD-2-Clause */
/* replay.c - feeds a corpus to a fuzz target, without a fuzzer.
 *
 *     replay_TARGET [FILE or FOLDER ...]
 *
 * Without arguments takes the target's own corpus, test/fuzz/corpus/TARGET
 * beneath $srcdir. Every input is also cut in half, since an end that comes too
 * early is the classic surprise. Surviving is the test: it is told as TAP.
 */
#include "config.h"

#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static unsigned inputs;

/* In memory of exactly this size, so that a sanitizer sees every overrun. */
static void
feed(const uint8_t *data, size_t bytes)
{
    uint8_t *copy = malloc(bytes > 0 ? bytes : 1);

    if (copy == NULL)
        abort();
    if (bytes > 0)
        memcpy(copy, data, bytes);
    LLVMFuzzerTestOneInput(copy, bytes);
    free(copy);
}

static int
replay_file(const char *path, size_t bytes)
{
    uint8_t *data = malloc(bytes + 1);
    FILE *file = fopen(path, "rb");
    int result = -1;

    if (data != NULL && file != NULL && fread(data, 1, bytes, file) == bytes) {
        feed(data, bytes);
        feed(data, bytes / 2);
        inputs++;
        result = 0;
    } else {
        perror(path);
    }
    if (file != NULL)
        fclose(file);
    free(data);
    return result;
}

static int
replay(const char *path)
{
    char inner[PATH_MAX];
    struct dirent *entry;
    struct stat st;
    DIR *dir;
    int result = 0;

    if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
        return replay_file(path, (size_t)st.st_size);
    dir = opendir(path);
    if (dir == NULL) {
        perror(path);
        return -1;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        if ((size_t)snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name) >= sizeof(inner) ||
            replay(inner) < 0)
            result = -1;
    }
    closedir(dir);
    return result;
}

static const char *
target_of(const char *program)
{
    const char *slash = strrchr(program, '/');
    const char *name = slash != NULL ? slash + 1 : program;

    return strncmp(name, "replay_", 7) == 0 ? name + 7 : name;
}

int
main(int argc, char **argv)
{
    const char *target = target_of(argv[0]);
    const char *srcdir = getenv("srcdir");
    char corpus[PATH_MAX];
    int result = 0;
    int i;

    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("1..1\n");
    feed(NULL, 0);
    for (i = 1; i < argc; i++)
        result |= replay(argv[i]);
    if (argc == 1) {
        snprintf(corpus, sizeof(corpus), "%s/test/fuzz/corpus/%s", srcdir != NULL ? srcdir : ".",
                 target);
        result = replay(corpus);
    }
    if (inputs == 0)
        result = -1; /* a corpus that is not there proves nothing */
    printf("%s 1 - fuzz %s: survives its corpus of %u inputs\n", result == 0 ? "ok" : "not ok",
           target, inputs);
    return result == 0 ? 0 : 1;
}
