/* SPDX-License-Identifier: BSD-2-Clause */
/* folder_fixture.h - a folder of the suite's own, and files in it. */
#ifndef BASCULE_FOLDER_FIXTURE_H
#define BASCULE_FOLDER_FIXTURE_H

#include "server/base/must.h"

#include <CUnit/CUnit.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Not every file needs all of it. */
#pragma GCC diagnostic ignored "-Wunused-function"

static char folder[] = "/tmp/bascule_unit.XXXXXX";

/* One of a few buffers. */
static const char *
in(const char *name)
{
    static char paths[16][PATH_MAX];
    static unsigned turn;
    char *path = paths[turn++ % ARRAY_COUNT(paths)];

    snprintf(path, PATH_MAX, "%s/%s", folder, name);
    return path;
}

static void
write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fputs(text, file);
    fclose(file);
}

/* 0, or -1. */
static int
make_folder(void)
{
    strcpy(folder + strlen(folder) - 6, "XXXXXX"); /* another suite may have had one */
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int
remove_entry(const char *path, const struct stat *st, int kind, struct FTW *way)
{
    (void)st;
    (void)kind;
    (void)way;
    return remove(path);
}

/* And all that is in it. 0, or another number. */
static int
remove_folder(void)
{
    return nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
