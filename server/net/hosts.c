/* SPDX-License-Identifier: BSD-2-Clause */
/* hosts.c - reads and looks up /etc/hosts, reads /etc/resolv.conf.
 *
 * The hosts table is one copy of the file in lower case and an array of
 * (name, address) rows that point into it, sorted by name and then by line, so
 * that a look-up is one binary search and finds the addresses in file order.
 */
#include "config.h"

#include "server/net/hosts.h"

#include "server/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct row {
    struct slice name; /* within text */
    struct ip ip;
    unsigned order;
};

struct hosts {
    char *path;
    char *text;
    struct row *rows; /* sorted */
    size_t count, room;
    struct file_stamp stamp;
};

/* ---- files */

bool
file_stamp_changed(struct file_stamp *stamp, const char *path)
{
    struct stat st;
    struct file_stamp now = { 0 };
    bool has_changed;

    if (stat(path, &st) == 0) {
        now.is_there = true;
        now.device = st.st_dev;
        now.inode = st.st_ino;
        now.bytes = st.st_size;
        now.modified = st.st_mtim;
    }
    has_changed = now.is_there != stamp->is_there || now.device != stamp->device ||
                  now.inode != stamp->inode || now.bytes != stamp->bytes ||
                  now.modified.tv_sec != stamp->modified.tv_sec ||
                  now.modified.tv_nsec != stamp->modified.tv_nsec;
    *stamp = now;
    return has_changed;
}

/* Without the line that the limit cut in two: half a name is another name. */
static size_t
whole_lines(const char *text, size_t bytes)
{
    const char *end = memrchr(text, '\n', bytes);

    return end != NULL ? (size_t)(end - text) + 1 : 0;
}

/* Reads the file into heap memory, cut at the limit; NULL when it cannot be
 * read. O_NONBLOCK, so that a FIFO in its place cannot stop the loop. */
static char *
read_whole(const char *path, size_t *bytes)
{
    char *text = malloc(HOSTS_FILE_MAX_BYTES + 1), *shorter;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    size_t used = 0;
    ssize_t n = -1;

    while (text != NULL && fd >= 0 && used <= HOSTS_FILE_MAX_BYTES) {
        n = read(fd, text + used, HOSTS_FILE_MAX_BYTES + 1 - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        used += (size_t)n;
    }
    if (fd >= 0)
        close(fd);
    if (text == NULL || fd < 0 || n < 0) {
        free(text);
        return NULL;
    }
    if (used > HOSTS_FILE_MAX_BYTES) {
        log_warn("%s is longer than %u bytes: the rest is not used", path, HOSTS_FILE_MAX_BYTES);
        used = whole_lines(text, HOSTS_FILE_MAX_BYTES);
    }
    *bytes = used;
    shorter = realloc(text, used + 1);
    return shorter != NULL ? shorter : text;
}

/* Takes the next line off *text, without its comment. */
static bool
next_line(struct slice *text, struct slice *line)
{
    ptrdiff_t end, comment;

    if (text->bytes == 0)
        return false;
    end = slice_find(*text, '\n');
    *line = slice_make(text->data, end >= 0 ? (size_t)end : text->bytes);
    *text = slice_skip(*text, line->bytes + 1);
    comment = slice_find(*line, '#');
    if (comment >= 0)
        line->bytes = (size_t)comment;
    return true;
}

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Takes the next word off *line. */
static bool
next_word(struct slice *line, struct slice *word)
{
    size_t n = 0;

    while (line->bytes > 0 && is_blank(line->data[0]))
        *line = slice_skip(*line, 1);
    while (n < line->bytes && !is_blank(line->data[n]))
        n++;
    *word = slice_make(line->data, n);
    *line = slice_skip(*line, n);
    return n > 0;
}

/* ---- the table */

static int
compare_names(struct slice a, struct slice b)
{
    int order = memcmp(a.data, b.data, a.bytes < b.bytes ? a.bytes : b.bytes);

    return order != 0 ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

static int
compare_rows(const void *a, const void *b)
{
    const struct row *left = a, *right = b;
    int order = compare_names(left->name, right->name);

    return order != 0 ? order : (left->order > right->order) - (left->order < right->order);
}

static int
add_row(struct hosts *table, struct slice name, const struct ip *ip)
{
    if (name.data[name.bytes - 1] == '.')
        name.bytes--;
    if (table->count == table->room) {
        size_t room = table->room > 0 ? table->room * 2 : 16;
        struct row *rows = reallocarray(table->rows, room, sizeof(*rows));

        if (rows == NULL)
            return -1;
        table->rows = rows;
        table->room = room;
    }
    table->rows[table->count] = (struct row){ name, *ip, (unsigned)table->count };
    table->count++;
    return 0;
}

/* One line: an address and its names. Lines that start with anything else
 * (a scoped address, say) are passed over. */
static int
add_line(struct hosts *table, struct slice line)
{
    struct slice word;
    struct ip ip;

    if (!next_word(&line, &word) || !ip_parse(word, &ip))
        return 0;
    while (next_word(&line, &word))
        if (add_row(table, word, &ip) < 0)
            return -1;
    return 0;
}

/* Fills an empty table from its file. -1 when memory is short. */
static int
fill(struct hosts *table)
{
    struct slice text, line;
    size_t bytes;

    table->text = read_whole(table->path, &bytes);
    if (table->text == NULL)
        return errno == ENOMEM ? -1 : 0;
    for (size_t i = 0; i < bytes; i++)
        table->text[i] = ascii_lower(table->text[i]);
    text = slice_make(table->text, bytes);
    while (next_line(&text, &line))
        if (add_line(table, line) < 0)
            return -1;
    if (table->count > 0)
        qsort(table->rows, table->count, sizeof(*table->rows), compare_rows);
    return 0;
}

static void
empty(struct hosts *table)
{
    free(table->text);
    free(table->rows);
    table->text = NULL;
    table->rows = NULL;
    table->count = table->room = 0;
}

struct hosts *
hosts_new(const char *path)
{
    struct hosts *hosts = calloc(1, sizeof(*hosts));

    if (hosts == NULL)
        return NULL;
    hosts->path = strdup(path);
    /* The stamp comes first: a change while reading is then seen next time. */
    if (hosts->path != NULL)
        file_stamp_changed(&hosts->stamp, path);
    if (hosts->path == NULL || fill(hosts) < 0) {
        hosts_free(hosts);
        return NULL;
    }
    return hosts;
}

bool
hosts_refresh(struct hosts *hosts)
{
    struct hosts newer = { .path = hosts->path };

    if (!file_stamp_changed(&hosts->stamp, hosts->path))
        return false;
    newer.stamp = hosts->stamp;
    if (fill(&newer) < 0) {
        empty(&newer);
        return false;
    }
    empty(hosts);
    *hosts = newer;
    log_info("%s has changed: %zu names", hosts->path, hosts->count);
    return true;
}

/* The first row whose name is not before the given one. */
static size_t
lower_bound(const struct hosts *hosts, struct slice name)
{
    size_t low = 0, high = hosts->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (compare_names(hosts->rows[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

unsigned
hosts_find(const struct hosts *hosts, struct slice name, struct ip *ips, unsigned max,
           bool *is_listed)
{
    unsigned count = 0;
    size_t i = lower_bound(hosts, name);

    *is_listed = i < hosts->count && slice_equal(hosts->rows[i].name, name);
    for (; i < hosts->count && slice_equal(hosts->rows[i].name, name); i++)
        if (count < max && !ip_is_unspecified(&hosts->rows[i].ip))
            ips[count++] = hosts->rows[i].ip;
    return count;
}

void
hosts_free(struct hosts *hosts)
{
    if (hosts == NULL)
        return;
    empty(hosts);
    free(hosts->path);
    free(hosts);
}

/* ---- resolv.conf */

static void
add_name_server(struct name_servers *servers, struct slice word, const char *path)
{
    struct ip ip;

    if (!ip_parse(word, &ip)) {
        log_warn("%s: name server \"%s\" is not used: not an IPv4 or IPv6 address", path,
                 log_escape(word));
        return;
    }
    if (servers->count == NAME_SERVERS_MAX)
        return;
    ip.port = 53;
    servers->ips[servers->count++] = ip;
}

void
name_servers_read(struct name_servers *servers, const char *path)
{
    size_t bytes = 0;
    char *text = read_whole(path, &bytes);
    struct slice rest = slice_make(text, bytes), line, word;

    servers->count = 0;
    while (text != NULL && next_line(&rest, &line))
        if (next_word(&line, &word) && slice_equal(word, SLICE("nameserver")) &&
            next_word(&line, &word))
            add_name_server(servers, word, path);
    free(text);
    if (servers->count == 0)
        add_name_server(servers, SLICE("127.0.0.1"), path);
}

bool
ip_is_unspecified(const struct ip *ip)
{
    static const uint8_t zero[16];

    return memcmp(ip->bytes, zero, ip->family == 4 ? 4 : 16) == 0;
}
