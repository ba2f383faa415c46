/* SPDX-License-Identifier: BSD-2-Clause */
/* hosts.h - what this machine itself says about names: its hosts file and the
 * name servers of its resolv.conf.
 *
 * Both files are small and local, so they are read in one go, and again when
 * stat() says they changed. Each worker keeps its own table, so no lock.
 */
#ifndef BASCULE_HOSTS_H
#define BASCULE_HOSTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "server/base/must.h"
#include "server/base/slice.h"
#include "server/net/address.h"

/* No file is read further than this; what lies beyond is left out, with a
 * warning. (A block list of megabytes belongs into a domain list.) */
#define HOSTS_FILE_MAX_BYTES (1024u * 1024)

/* What a file looked like when it was read. */
struct file_stamp {
    dev_t device;
    ino_t inode;
    off_t bytes;
    struct timespec modified;
    bool is_there;
};

/* Whether the file at path differs from *stamp, which is brought up to date. */
bool file_stamp_changed(struct file_stamp *stamp, const char *path);

/* ---- the hosts file, hosts(5) */

struct hosts;

/* Reads the file at path, which is copied. A file that cannot be read is an
 * empty table: it may appear later. NULL when memory is short. */
struct hosts *hosts_new(const char *path);
void hosts_free(struct hosts *hosts);

/* Reads the file again if it changed; keeps the old table when memory is
 * short. Returns whether the table is a new one. */
bool hosts_refresh(struct hosts *hosts);

/* Puts up to max addresses of name (in lower case, no dot at its end) into
 * ips, with port 0, in the order of the file. Returns how many; *is_listed
 * says whether the file has the name at all: "0.0.0.0" and "::" are how people
 * write "does not exist" there, so they are never among the addresses. */
unsigned hosts_find(const struct hosts *hosts, struct slice name, struct ip *ips, unsigned max,
                    bool *is_listed);

/* ---- resolv.conf(5) */

#define NAME_SERVERS_MAX 8

struct name_servers {
    unsigned count;
    struct ip ips[NAME_SERVERS_MAX];
};

/* Reads the "nameserver" lines of the file at path; 127.0.0.1 when there are
 * none, as resolv.conf(5) has it. Nothing else in the file matters to a proxy:
 * it must not append search domains, and has its own limits of time. */
void name_servers_read(struct name_servers *servers, const char *path);

/* Whether the address is 0.0.0.0 or "::", which connect() would take for this
 * very machine. */
bool ip_is_unspecified(const struct ip *ip);

#endif
