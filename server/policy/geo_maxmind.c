/* SPDX-License-Identifier: BSD-2-Clause */
/* geo_maxmind.c - databases by way of libmaxminddb.
 *
 * The library maps a file into memory; a file that somebody shortened while it is
 * mapped would end the process. So the file, which the supervisor may have to open for
 * us, is copied to nameless memory, and that is what the library opens.
 */
#include "config.h"

#include "server/policy/geo_database.h"

#include "server/opener.h"
#include "server/policy/geo.h"
#include "server/registry.h"

#include <errno.h>
#include <inttypes.h>
#include <maxminddb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX ((off_t)1 << 31)

const bool geo_is_built_in = true;

struct geo_database {
    struct registered registered; /* identity: path, size and time of change */
    MMDB_s mmdb;
};

/* ---- from a file */

struct source_file {
    const char *path;
    int fd;
    off_t bytes;
};

/* A descriptor of nameless memory, or -1 with err. */
static int
copy(const struct source_file *file, struct err *err)
{
    int fd = memfd_create("bascule-geo", MFD_CLOEXEC);
    off_t at = 0;

    if (fd < 0)
        return err_errno(err, "%s: memory for it", file->path);
    while (at < file->bytes) {
        ssize_t copied = sendfile(fd, file->fd, &at, (size_t)(file->bytes - at));

        if (copied < 0 && errno == EINTR)
            continue;
        if (copied > 0)
            continue;
        if (copied < 0)
            err_errno(err, "%s", file->path);
        else
            err_set(err, "%s: became shorter while it was read", file->path);
        close(fd);
        return -1;
    }
    return fd;
}

static int
open_mmdb(const struct source_file *file, MMDB_s *mmdb, struct err *err)
{
    char path[sizeof("/proc/self/fd/") + 12];
    int fd = copy(file, err), status;

    if (fd < 0)
        return -1;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    status = MMDB_open(path, MMDB_MODE_MMAP, mmdb);
    close(fd);
    if (status == MMDB_SUCCESS)
        return 0;
    return err_set(err, "%s: is no database in MaxMind's format: %s", file->path,
                   MMDB_strerror(status));
}

static struct registered *
make(const void *conf, struct err *err)
{
    struct geo_database *database = calloc(1, sizeof(*database));
    const struct source_file *file = conf;

    if (database == NULL) {
        err_set(err, "%s: out of memory", file->path);
        return NULL;
    }
    if (open_mmdb(file, &database->mmdb, err) == 0)
        return &database->registered;
    free(database);
    return NULL;
}

static void
discard(struct registered *registered)
{
    struct geo_database *database = container_of(registered, struct geo_database, registered);

    MMDB_close(&database->mmdb);
    free(database);
}

static const struct registry_kind geo_kind = { "database of addresses", make, discard };

static struct registered *
adopt(struct source_file *file, struct err *err)
{
    struct registered *registered;
    char *identity = NULL;
    struct stat st;

    if (fstat(file->fd, &st) < 0) {
        err_errno(err, "%s", file->path);
        return NULL;
    }
    if (st.st_size > FILE_BYTES_MAX) {
        err_set(err, "%s: has more than 2 GB, as no database of addresses has", file->path);
        return NULL;
    }
    file->bytes = st.st_size;
    if (asprintf(&identity, "%s %jd %jd.%09ld", file->path, (intmax_t)st.st_size,
                 (intmax_t)st.st_mtim.tv_sec, st.st_mtim.tv_nsec) < 0) {
        err_set(err, "%s: out of memory", file->path);
        return NULL;
    }
    registered = registry_adopt(&geo_kind, identity, file, err);
    free(identity);
    return registered;
}

struct geo_database *
geo_database_adopt(const char *path, struct err *err)
{
    struct source_file file = { path, opener_open(path, err), 0 };
    struct registered *registered;

    if (file.fd < 0)
        return NULL;
    registered = adopt(&file, err);
    close(file.fd);
    return registered != NULL ? container_of(registered, struct geo_database, registered) : NULL;
}

void
geo_database_unref(struct geo_database *database)
{
    if (database != NULL)
        registered_unref(&database->registered);
}

/* ---- asking */

/* A value of the address's entry. False: there is none of that type. */
static bool
look_up(const struct geo_database *database, const struct ip *ip, const char *const *path,
        uint32_t type, MMDB_entry_data_s *value)
{
    MMDB_lookup_result_s result;
    struct address address;
    int error;

    if (database == NULL || ip->family == 0)
        return false;
    address_from_ip(&address, ip);
    result = MMDB_lookup_sockaddr(&database->mmdb, &address.to.any, &error);
    return error == MMDB_SUCCESS && result.found_entry &&
           MMDB_aget_value(&result.entry, value, path) == MMDB_SUCCESS && value->has_data &&
           value->type == type;
}

static bool
is_code(const MMDB_entry_data_s *value)
{
    return value->data_size == 2 && value->utf8_string[0] >= 'A' && value->utf8_string[0] <= 'Z' &&
           value->utf8_string[1] >= 'A' && value->utf8_string[1] <= 'Z';
}

bool
geo_country(const struct geo_database *database, const struct ip *ip, char code[3])
{
    static const char *const here[] = { "country", "iso_code", NULL };
    static const char *const registered[] = { "registered_country", "iso_code", NULL };
    MMDB_entry_data_s value;

    if (!look_up(database, ip, here, MMDB_DATA_TYPE_UTF8_STRING, &value) &&
        !look_up(database, ip, registered, MMDB_DATA_TYPE_UTF8_STRING, &value))
        return false;
    if (!is_code(&value))
        return false;
    memcpy(code, value.utf8_string, 2);
    code[2] = '\0';
    return true;
}

bool
geo_as(const struct geo_database *database, const struct ip *ip, uint32_t *number)
{
    static const char *const path[] = { "autonomous_system_number", NULL };
    MMDB_entry_data_s value;

    if (!look_up(database, ip, path, MMDB_DATA_TYPE_UINT32, &value))
        return false;
    *number = value.uint32;
    return true;
}
