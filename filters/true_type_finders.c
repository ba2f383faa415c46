/* SPDX-License-Identifier: BSD-2-Clause */
/* true_type_finders.c - types that take more than a look at a fixed place. */
#include "config.h"

#include "filters/true_type_inside.h"

#include "server/base/must.h"

static unsigned
byte_at(struct slice start, size_t at)
{
    return (unsigned char)start.data[at];
}

static uint32_t
little_32(struct slice start, size_t at)
{
    return byte_at(start, at) | byte_at(start, at + 1) << 8 | byte_at(start, at + 2) << 16 |
           (uint32_t)byte_at(start, at + 3) << 24;
}

static bool
has(struct slice start, struct slice part)
{
    return memmem(start.data, start.bytes, part.data, part.bytes) != NULL;
}

/* WHATWG MIME Sniffing section 3: bytes that no text has. */
static bool
is_binary(struct slice start)
{
    for (size_t i = 0; i < start.bytes; i++) {
        unsigned c = byte_at(start, i);

        if (c <= 8 || c == 0x0b || (c >= 0x0e && c <= 0x1a) || (c >= 0x1c && c <= 0x1f))
            return true;
    }
    return false;
}

/* ---- programs */

#define PE_AT_MOST (256u * 1024 * 1024) /* Windows loads none whose header is behind this */

/* The header of DOS says at 60 where that of Windows is. It may be out of sight, and is
 * believed then. */
static enum type_id
type_of_mz(struct slice start)
{
    uint32_t at;

    if (start.bytes < 64)
        return TYPE_DOS;
    at = little_32(start, 60);
    if (at <= start.bytes && start.bytes - at >= 4)
        return memcmp(start.data + at, "PE\0\0", 4) == 0 ? TYPE_PE : TYPE_DOS;
    if (!is_binary(slice_make(start.data, 64)))
        return TYPE_BINARY; /* text may begin with "MZ" */
    return at < PE_AT_MOST ? TYPE_PE : TYPE_DOS;
}

enum type_id
type_of_programs(struct slice start)
{
    if (slice_starts_with(start, SLICE("MZ")) || slice_starts_with(start, SLICE("ZM")))
        return type_of_mz(start);
    if (slice_starts_with(start, SLICE("\xca\xfe\xba\xbe")) && start.bytes >= 8) {
        /* Java says its version here, 45 and up; Mach-O how many architectures there are. */
        unsigned number = byte_at(start, 4) << 24 | byte_at(start, 5) << 16 |
                          byte_at(start, 6) << 8 | byte_at(start, 7);

        return number < 45 ? TYPE_MACHO : TYPE_CLASS;
    }
    return TYPE_BINARY;
}

/* ---- containers */

struct entry_name {
    enum type_id type;
    struct slice start;
};

/* The first that is true of any entry counts: what can be run comes first. */
static const struct entry_name entry_names[] = {
    { TYPE_APK, SLICE_INIT("AndroidManifest.xml") }, { TYPE_APK, SLICE_INIT("classes.dex") },
    { TYPE_JAR, SLICE_INIT("META-INF/MANIFEST.MF") }, { TYPE_DOCX, SLICE_INIT("word/") },
    { TYPE_XLSX, SLICE_INIT("xl/") }, { TYPE_PPTX, SLICE_INIT("ppt/") },
    { TYPE_JAR, SLICE_INIT("META-INF/") },
    { TYPE_EPUB, SLICE_INIT("mimetypeapplication/epub+zip") },
    { TYPE_ODF, SLICE_INIT("mimetypeapplication/vnd.oasis.opendocument") },
    { TYPE_OOXML, SLICE_INIT("[Content_Types].xml") }, { TYPE_OOXML, SLICE_INIT("_rels/.rels") },
};

#define LOCAL_HEADER_BYTES 30 /* up to the name; APPNOTE.TXT section 4.3.7 */

/* Looks for headers rather than from one to the next, as sizes may stand behind the data. */
static enum type_id
type_of_zip(struct slice start)
{
    size_t best = ARRAY_COUNT(entry_names);

    while (start.bytes > LOCAL_HEADER_BYTES) {
        const char *next = memmem(start.data, start.bytes, "PK\3\4", 4);
        struct slice name;

        if (next == NULL)
            break;
        start = slice_skip(start, (size_t)(next - start.data));
        name = slice_skip(start, LOCAL_HEADER_BYTES);
        for (size_t i = 0; i < best; i++)
            if (slice_starts_with(name, entry_names[i].start))
                best = i;
        start = slice_skip(start, 4);
    }
    return best < ARRAY_COUNT(entry_names) ? entry_names[best].type : TYPE_ZIP;
}

/* [MS-CFB] sections 2.2 and 2.6.1: the class of the root entry, if its sector is among the
 * first bytes. */
static enum type_id
type_of_ole(struct slice start)
{
    static const char installer[] = "\x84\x10\x0c\0\0\0\0\0\xc0\0\0\0\0\0\0\x46";
    uint64_t sector_bytes, at;

    if (start.bytes < 512)
        return TYPE_OLE;
    sector_bytes = byte_at(start, 30) == 12 ? 4096 : 512;
    at = (little_32(start, 48) + UINT64_C(1)) * sector_bytes + 80;
    if (at + 16 <= start.bytes && memcmp(start.data + at, installer, 16) == 0)
        return TYPE_MSI;
    return TYPE_OLE;
}

/* ISO 14496-12 section 4.3: a brand of what is in there. The first bytes are a length, which
 * other types' first bytes pass for. */
enum type_id
type_of_media(struct slice start)
{
    static const struct entry_name brands[] = {
        { TYPE_AVIF, SLICE_INIT("avi") }, { TYPE_HEIC, SLICE_INIT("hei") },
        { TYPE_HEIC, SLICE_INIT("hev") }, { TYPE_HEIC, SLICE_INIT("mif1") },
        { TYPE_MOV, SLICE_INIT("qt  ") },
    };
    struct slice brand = slice_skip(start, 8);

    if (!slice_starts_with(slice_skip(start, 4), SLICE("ftyp")))
        return TYPE_BINARY;
    for (size_t i = 0; i < ARRAY_COUNT(brands); i++)
        if (slice_starts_with(brand, brands[i].start))
            return brands[i].type;
    return TYPE_MP4;
}

enum type_id
type_of_containers(struct slice start)
{
    if (slice_starts_with(start, SLICE("PK\3\4")) || slice_starts_with(start, SLICE("PK\5\6")) ||
        slice_starts_with(start, SLICE("PK\7\10")) || slice_starts_with(start, SLICE("PK00PK\3\4")))
        return type_of_zip(start);
    if (slice_starts_with(start, SLICE("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")))
        return type_of_ole(start);
    return slice_starts_with(start, SLICE("%PDF-")) ? TYPE_PDF : TYPE_BINARY;
}

bool
has_pdf(struct slice start)
{
    if (start.bytes > 1024)
        start.bytes = 1024;
    return has(start, SLICE("%PDF-1.")) || has(start, SLICE("%PDF-2."));
}

/* ---- text */

static bool
is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

/* WHATWG MIME Sniffing section 7.1: letters in either case, and behind them a space or ">". */
static bool
is_html(struct slice text)
{
    static const struct slice tags[] = {
        SLICE_INIT("<!doctype html"), SLICE_INIT("<html"), SLICE_INIT("<head"),
        SLICE_INIT("<script"), SLICE_INIT("<iframe"), SLICE_INIT("<h1"), SLICE_INIT("<div"),
        SLICE_INIT("<font"), SLICE_INIT("<table"), SLICE_INIT("<a"), SLICE_INIT("<style"),
        SLICE_INIT("<title"), SLICE_INIT("<b"), SLICE_INIT("<body"), SLICE_INIT("<br"),
        SLICE_INIT("<p"),
    };

    for (size_t i = 0; i < ARRAY_COUNT(tags); i++) {
        size_t n = tags[i].bytes;

        if (text.bytes > n && slice_equal_nocase(slice_make(text.data, n), tags[i]) &&
            (text.data[n] == ' ' || text.data[n] == '>'))
            return true;
    }
    return slice_starts_with(text, SLICE("<!--"));
}

/* Its opening tag, in either case. */
static bool
begins_php(struct slice text)
{
    return text.bytes >= 5 && slice_equal_nocase(slice_make(text.data, 5), SLICE("<?php"));
}

bool
true_type_has_php(struct slice start)
{
    const char *tag;

    while ((tag = memmem(start.data, start.bytes, "<?", 2)) != NULL) {
        start = slice_skip(start, (size_t)(tag - start.data));
        if (begins_php(start))
            return true;
        start = slice_skip(start, 2);
    }
    return false;
}

enum type_id
type_of_texts(struct slice start)
{
    struct slice text = start;

    if (slice_starts_with(start, SLICE("\xfe\xff")) || slice_starts_with(start, SLICE("\xff\xfe")))
        return TYPE_TEXT;
    if (slice_starts_with(text, SLICE("\xef\xbb\xbf")))
        text = slice_skip(text, 3);
    while (text.bytes > 0 && is_space(text.data[0]))
        text = slice_skip(text, 1);
    if (begins_php(text) || slice_starts_with(text, SLICE("<?=")))
        return TYPE_PHP;
    if (slice_starts_with(text, SLICE("<svg")))
        return TYPE_SVG;
    if (slice_starts_with(text, SLICE("<?xml")) || slice_starts_with(text, SLICE("<!DOCTYPE svg")))
        return has(text, SLICE("<svg")) ? TYPE_SVG : TYPE_XML;
    if (is_html(text))
        return slice_starts_with(text, SLICE("<!--")) && has(text, SLICE("<svg")) ? TYPE_SVG
                                                                                 : TYPE_HTML;
    return is_binary(start) ? TYPE_BINARY : TYPE_TEXT;
}
