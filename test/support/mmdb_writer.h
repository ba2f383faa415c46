/* SPDX-License-Identifier: BSD-2-Clause */
/* mmdb_writer.h - writes small databases in MaxMind's format, for tests: countries and
 * autonomous systems of a few networks.
 *
 *     tree of nodes (two records of 32 bits) | 16 zero bytes | data | marker | metadata
 *
 * A record below the number of nodes leads to a node; equal to it, there is nothing;
 * above, it leads into the data. IPv4 is ::/96 of a tree for IPv6.
 */
#ifndef BASCULE_MMDB_WRITER_H
#define BASCULE_MMDB_WRITER_H

#include <stdio.h>
#include <string.h>

#include "server/net/address.h"

#define MMDB_NODES_MAX 4096
#define MMDB_DATA_MAX 65536
#define MMDB_NOTHING UINT32_MAX
#define MMDB_IS_DATA ((uint32_t)1 << 31) /* and where it begins; while the tree grows */

struct mmdb_writer {
    uint32_t nodes[MMDB_NODES_MAX][2];
    uint32_t node_count;
    unsigned char data[MMDB_DATA_MAX];
    uint32_t data_bytes;
};

static inline void
mmdb_begin(struct mmdb_writer *writer)
{
    writer->node_count = 1;
    writer->nodes[0][0] = writer->nodes[0][1] = MMDB_NOTHING;
    writer->data_bytes = 0;
}

/* ---- values: a byte of type and length, then the value */

static inline void
mmdb_put(struct mmdb_writer *writer, unsigned type, size_t bytes, const void *value)
{
    unsigned char *at = writer->data + writer->data_bytes;

    if (writer->data_bytes + bytes + 2 > MMDB_DATA_MAX || bytes > 28)
        return; /* tests have few and short ones */
    *at++ = (unsigned char)((type < 8 ? type << 5 : 0) | bytes);
    if (type >= 8)
        *at++ = (unsigned char)(type - 7);
    if (value != NULL)
        memcpy(at, value, bytes);
    writer->data_bytes = (uint32_t)(at - writer->data) + (value != NULL ? (uint32_t)bytes : 0);
}

static inline void
mmdb_put_text(struct mmdb_writer *writer, const char *text)
{
    mmdb_put(writer, 2, strlen(text), text);
}

static inline void
mmdb_put_number(struct mmdb_writer *writer, unsigned type, size_t bytes, uint64_t number)
{
    unsigned char value[8];

    for (size_t i = 0; i < bytes; i++)
        value[i] = (unsigned char)(number >> 8 * (bytes - 1 - i));
    mmdb_put(writer, type, bytes, value);
}

/* So many pairs of a name and a value follow. */
static inline void
mmdb_put_map(struct mmdb_writer *writer, size_t pairs)
{
    mmdb_put(writer, 7, pairs, NULL);
}

/* ---- networks */

/* The node below on that side, made if need be; what held for all of it holds for both
 * of its halves. */
static inline uint32_t
mmdb_descend(struct mmdb_writer *writer, uint32_t node, unsigned side)
{
    uint32_t record = writer->nodes[node][side], fresh = writer->node_count;

    if (record != MMDB_NOTHING && !(record & MMDB_IS_DATA))
        return record;
    writer->nodes[fresh][0] = writer->nodes[fresh][1] = record;
    writer->nodes[node][side] = fresh;
    writer->node_count++;
    return fresh;
}

/* Larger networks first. -1: network cannot be read, or there is no room. */
static inline int
mmdb_add(struct mmdb_writer *writer, const char *network, uint32_t data)
{
    const char *slash = strchr(network, '/');
    unsigned char bytes[16] = { 0 };
    uint32_t node = 0;
    unsigned bits;
    struct ip ip;

    if (slash == NULL || !ip_parse(slice_make(network, (size_t)(slash - network)), &ip) ||
        sscanf(slash + 1, "%u", &bits) != 1 || writer->node_count + 128 > MMDB_NODES_MAX)
        return -1;
    memcpy(ip.family == 4 ? bytes + 12 : bytes, ip.bytes, ip.family == 4 ? 4 : 16);
    bits += ip.family == 4 ? 96 : 0;
    if (bits == 0 || bits > 128)
        return -1;
    for (unsigned i = 0;; i++) {
        unsigned side = bytes[i / 8] >> (7 - i % 8) & 1;

        if (i + 1 == bits) {
            writer->nodes[node][side] = data | MMDB_IS_DATA;
            return 0;
        }
        node = mmdb_descend(writer, node, side);
    }
}

/* As in GeoLite2-Country: key is "country", or "registered_country". */
static inline int
mmdb_add_country(struct mmdb_writer *writer, const char *network, const char *key,
                 const char *code)
{
    uint32_t data = writer->data_bytes;

    mmdb_put_map(writer, 1);
    mmdb_put_text(writer, key);
    mmdb_put_map(writer, 1);
    mmdb_put_text(writer, "iso_code");
    mmdb_put_text(writer, code);
    return mmdb_add(writer, network, data);
}

/* As in GeoLite2-ASN. */
static inline int
mmdb_add_as(struct mmdb_writer *writer, const char *network, uint32_t number)
{
    uint32_t data = writer->data_bytes;

    mmdb_put_map(writer, 1);
    mmdb_put_text(writer, "autonomous_system_number");
    mmdb_put_number(writer, 6, 4, number);
    return mmdb_add(writer, network, data);
}

/* ---- the file */

static inline void
mmdb_put_metadata(struct mmdb_writer *writer)
{
    mmdb_put_map(writer, 9);
    mmdb_put_text(writer, "binary_format_major_version");
    mmdb_put_number(writer, 5, 2, 2);
    mmdb_put_text(writer, "binary_format_minor_version");
    mmdb_put_number(writer, 5, 2, 0);
    mmdb_put_text(writer, "build_epoch");
    mmdb_put_number(writer, 9, 8, 1700000000);
    mmdb_put_text(writer, "database_type");
    mmdb_put_text(writer, "Test");
    mmdb_put_text(writer, "description");
    mmdb_put_map(writer, 0);
    mmdb_put_text(writer, "ip_version");
    mmdb_put_number(writer, 5, 2, 6);
    mmdb_put_text(writer, "languages");
    mmdb_put(writer, 11, 0, NULL);
    mmdb_put_text(writer, "node_count");
    mmdb_put_number(writer, 6, 4, writer->node_count);
    mmdb_put_text(writer, "record_size");
    mmdb_put_number(writer, 5, 2, 32);
}

static inline void
mmdb_write_record(const struct mmdb_writer *writer, uint32_t record, FILE *out)
{
    if (record == MMDB_NOTHING)
        record = writer->node_count;
    else if (record & MMDB_IS_DATA)
        record = (record & ~MMDB_IS_DATA) + writer->node_count + 16;
    for (int shift = 24; shift >= 0; shift -= 8)
        fputc((int)(record >> shift & 0xff), out);
}

/* 0, or -1 with errno. Nothing may be added afterwards. */
static inline int
mmdb_write(struct mmdb_writer *writer, const char *path)
{
    static const unsigned char zero[16], marker[] = "\xab\xcd\xefMaxMind.com";
    uint32_t data_bytes = writer->data_bytes;
    FILE *out = fopen(path, "w");

    if (out == NULL)
        return -1;
    for (uint32_t i = 0; i < writer->node_count; i++) {
        mmdb_write_record(writer, writer->nodes[i][0], out);
        mmdb_write_record(writer, writer->nodes[i][1], out);
    }
    fwrite(zero, 1, sizeof(zero), out);
    mmdb_put_metadata(writer);
    fwrite(writer->data, 1, data_bytes, out);
    fwrite(marker, 1, sizeof(marker) - 1, out);
    fwrite(writer->data + data_bytes, 1, writer->data_bytes - data_bytes, out);
    return fclose(out) == 0 ? 0 : -1;
}

#endif
