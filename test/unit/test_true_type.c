/* SPDX-License-Identifier: BSD-2-Clause */
/* test_true_type.c - promises of filters/true_type.h. */
#include "config.h"

#include "filters/true_type.h"

#include <CUnit/CUnit.h>
#include <stdio.h>
#include <stdlib.h>

#include "test/unit/suites.h"

/* In memory of exactly this size, so that a look beyond it is seen. */
static bool
is_type(const void *bytes, size_t count, const char *name)
{
    char *copy = malloc(count + 1);
    const char *found;

    memcpy(copy, bytes, count);
    copy = realloc(copy, count > 0 ? count : 1);
    found = true_type_find(slice_make(copy, count))->name;
    if (strcmp(found, name) != 0)
        printf("%s instead of %s\n", found, name);
    free(copy);
    return strcmp(found, name) == 0;
}

#define IS(text, name) is_type(text, sizeof(text) - 1, name)

static void
knows_programs(void)
{
    char pe[256] = "MZ\x90\0\3\0\0\0", text[80] = "MZ is how some texts begin";

    pe[60] = (char)0x80;
    CU_ASSERT_TRUE(is_type(pe, sizeof(pe), "dos"));
    memcpy(pe + 0x80, "PE\0\0", 4);
    CU_ASSERT_TRUE(is_type(pe, sizeof(pe), "pe"));
    CU_ASSERT_TRUE(is_type(pe, 0x82, "pe")); /* out of sight */
    pe[61] = 0x20;
    CU_ASSERT_TRUE(is_type(pe, sizeof(pe), "pe"));
    memset(pe + 60, 0xff, 4);
    CU_ASSERT_TRUE(is_type(pe, sizeof(pe), "dos"));
    memset(text + 26, 'x', sizeof(text) - 26);
    CU_ASSERT_TRUE(is_type(text, sizeof(text), "text"));
    memcpy(text + 60, "\n\n\n\t", 4);
    CU_ASSERT_TRUE(is_type(text, sizeof(text), "text"));
    memcpy(text + 60, "\1\1\1\1", 4);
    CU_ASSERT_TRUE(is_type(text, sizeof(text), "pe"));
    CU_ASSERT_TRUE(IS("MZ", "dos"));
    CU_ASSERT_TRUE(IS("\x7f" "ELF\2\1\1", "elf"));
    CU_ASSERT_TRUE(IS("\xcf\xfa\xed\xfe\7\0\0\1", "macho"));
    CU_ASSERT_TRUE(IS("\xca\xfe\xba\xbe\0\0\0\2", "macho"));
    CU_ASSERT_TRUE(IS("\xca\xfe\xba\xbe\0\0\0\x34", "class"));
    CU_ASSERT_TRUE(IS("\0asm\1\0\0\0", "wasm"));
    CU_ASSERT_TRUE(IS("dex\n035\0", "dex"));
    CU_ASSERT_TRUE(IS("#!/bin/sh\n", "script"));
    CU_ASSERT_TRUE(IS("\n <?php echo 1;", "php"));
    CU_ASSERT_TRUE(IS("<?PhP echo 1;", "php"));
    CU_ASSERT_TRUE(true_type_has_php(SLICE("GIF89a<? <?PHP")));
    CU_ASSERT_FALSE(true_type_has_php(SLICE("<?ph<?xml p <?")));
    CU_ASSERT_TRUE(IS("!<arch>\ndebian-binary", "deb"));
    CU_ASSERT_TRUE(IS("!<arch>\nx.o/", "ar"));
}

/* A local header (APPNOTE.TXT section 4.3.7) of a stored file. */
static size_t
add_entry(char *zip, size_t at, const char *name, const char *data)
{
    memset(zip + at, 0, 30);
    memcpy(zip + at, "PK\3\4", 4);
    zip[at + 26] = (char)strlen(name);
    memcpy(zip + at + 30, name, strlen(name));
    memcpy(zip + at + 30 + strlen(name), data, strlen(data));
    return at + 30 + strlen(name) + strlen(data);
}

static bool
is_zip_of(const char *first, const char *data, const char *second, const char *name)
{
    char zip[512];
    size_t bytes = add_entry(zip, 0, first, data);

    return is_type(zip, add_entry(zip, bytes, second, "..."), name);
}

static void
knows_what_is_in_a_zip(void)
{
    CU_ASSERT_TRUE(is_zip_of("a.txt", "hello", "b.txt", "zip"));
    CU_ASSERT_TRUE(is_zip_of("[Content_Types].xml", "x", "word/document.xml", "docx"));
    CU_ASSERT_TRUE(is_zip_of("[Content_Types].xml", "x", "xl/workbook.xml", "xlsx"));
    CU_ASSERT_TRUE(is_zip_of("_rels/.rels", "x", "docProps/app.xml", "ooxml"));
    CU_ASSERT_TRUE(is_zip_of("META-INF/", "", "META-INF/MANIFEST.MF", "jar"));
    CU_ASSERT_TRUE(is_zip_of("META-INF/MANIFEST.MF", "x", "classes.dex", "apk"));
    CU_ASSERT_TRUE(is_zip_of("mimetype", "application/epub+zip", "META-INF/c", "jar"));
    CU_ASSERT_TRUE(is_zip_of("mimetype", "application/epub+zip", "a", "epub"));
    CU_ASSERT_TRUE(is_zip_of("mimetype", "application/vnd.oasis.opendocument.text", "a", "odf"));
    CU_ASSERT_TRUE(IS("PK\3\4", "zip"));
    CU_ASSERT_TRUE(IS("PK\5\6\0\0", "zip"));
}

static void
knows_archives_and_documents(void)
{
    char tar[512] = "name", ole[2048] = "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";
    static char iso[32800];

    memcpy(tar + 257, "ustar", 5);
    CU_ASSERT_TRUE(is_type(tar, sizeof(tar), "tar"));
    memcpy(iso + 32769, "CD001", 5);
    CU_ASSERT_TRUE(is_type(iso, sizeof(iso), "iso"));
    CU_ASSERT_TRUE(is_type(iso, 4096, "binary"));
    CU_ASSERT_TRUE(is_type(ole, sizeof(ole), "ole"));
    memcpy(ole + 512 + 80, "\x84\x10\x0c\0\0\0\0\0\xc0\0\0\0\0\0\0\x46", 16);
    CU_ASSERT_TRUE(is_type(ole, sizeof(ole), "msi"));
    memset(ole + 48, 0xff, 4);
    CU_ASSERT_TRUE(is_type(ole, sizeof(ole), "ole"));
    CU_ASSERT_TRUE(IS("Rar!\x1a\7\1\0", "rar"));
    CU_ASSERT_TRUE(IS("7z\xbc\xaf\x27\x1c", "7z"));
    CU_ASSERT_TRUE(IS("\x1f\x8b\10", "gzip"));
    CU_ASSERT_TRUE(IS("\xfd" "7zXZ\0", "xz"));
    CU_ASSERT_TRUE(IS("BZh91AY&SY", "bzip2"));
    CU_ASSERT_TRUE(IS("MSCF\0\0", "cab"));
    CU_ASSERT_TRUE(IS("%PDF-1.7", "pdf"));
    CU_ASSERT_TRUE(IS("junk\n%PDF-1.7", "pdf"));
    CU_ASSERT_TRUE(IS("{\\rtf1", "rtf"));
}

static void
knows_media_and_fonts(void)
{
    CU_ASSERT_TRUE(IS("\x89PNG\r\n\x1a\n", "png"));
    CU_ASSERT_TRUE(IS("\xff\xd8\xff\xe0", "jpeg"));
    CU_ASSERT_TRUE(IS("GIF89a", "gif"));
    CU_ASSERT_TRUE(IS("RIFF\0\0\0\0WEBPVP8 ", "webp"));
    CU_ASSERT_TRUE(IS("RIFF\0\0\0\0WAVEfmt ", "wav"));
    CU_ASSERT_TRUE(IS("\0\0\0\x20" "ftypisom", "mp4"));
    CU_ASSERT_TRUE(IS("\0\0\0\x20" "ftypavif", "avif"));
    CU_ASSERT_TRUE(IS("\0\0\0\x20" "ftypheic", "heic"));
    CU_ASSERT_TRUE(IS("\x1a\x45\xdf\xa3", "matroska"));
    CU_ASSERT_TRUE(IS("OggS\0", "ogg"));
    CU_ASSERT_TRUE(IS("ID3\4", "mp3"));
    CU_ASSERT_TRUE(IS("wOF2", "woff"));
    CU_ASSERT_TRUE(IS("\0\1\0\0\0\x10", "ttf"));
    CU_ASSERT_TRUE(IS("<svg xmlns=''>", "svg"));
    CU_ASSERT_TRUE(IS("<?xml version='1.0'?>\n<svg>", "svg"));
}

/* WHATWG MIME Sniffing sections 7.1 and 7.2. */
static void
sniffs_as_browsers_do(void)
{
    CU_ASSERT_TRUE(IS(" \r\n<!DocType HTML>", "html"));
    CU_ASSERT_TRUE(IS("<sCript>", "html"));
    CU_ASSERT_TRUE(IS("<b>", "html"));
    CU_ASSERT_TRUE(IS("<basement", "text"));
    CU_ASSERT_TRUE(IS("<!-- x", "html"));
    CU_ASSERT_TRUE(IS("<?xml ", "xml"));
    CU_ASSERT_TRUE(IS("\xef\xbb\xbf<html>", "html"));
    CU_ASSERT_TRUE(IS("\xff\xfe<\0", "text"));
    CU_ASSERT_TRUE(IS("hello\n\t\x1b[0m", "text"));
    CU_ASSERT_TRUE(IS("hello\x01", "binary"));
    CU_ASSERT_TRUE(IS("", "text"));
}

/* Linux runs an ELF file with anything behind the four bytes; readers of PDF and tar do not
 * care for the first bytes at all. */
static void
is_not_misled_by_what_stands_further_on(void)
{
    char tar[512] = "GIF89a";
    struct true_types set = { { 0 } };
    struct err err;

    CU_ASSERT_TRUE(IS("\x7f" "ELF\n%PDF-1.4\n", "elf"));
    CU_ASSERT_TRUE(IS("#!/bin/sh\n%PDF-1.4\n", "script"));
    CU_ASSERT_TRUE(IS("<?php\n%PDF-1.4\n", "php"));
    CU_ASSERT_TRUE(IS("\x7f" "ELFftypisom", "elf"));
    CU_ASSERT_EQUAL(true_types_add(&set, SLICE("pdf"), &err), 0);
    CU_ASSERT_EQUAL(true_types_add(&set, SLICE("tar"), &err), 0);
    CU_ASSERT_PTR_NOT_NULL(true_types_find(&set, SLICE("GIF89a %PDF-1.4\n")));
    CU_ASSERT_PTR_NULL(true_types_find(&set, slice_make(tar, sizeof(tar))));
    memcpy(tar + 257, "ustar", 5);
    CU_ASSERT_TRUE(is_type(tar, sizeof(tar), "gif"));
    CU_ASSERT_PTR_NOT_NULL(true_types_find(&set, slice_make(tar, sizeof(tar))));
}

static void
sets_have_types_and_classes(void)
{
    struct true_types set = { { 0 } };
    struct err err;

    CU_ASSERT_EQUAL(true_types_add(&set, SLICE("executable"), &err), 0);
    CU_ASSERT_EQUAL(true_types_add(&set, SLICE("pdf"), &err), 0);
    CU_ASSERT_TRUE(true_types_has(&set, true_type_find(SLICE("\x7f" "ELF"))));
    CU_ASSERT_TRUE(true_types_has(&set, true_type_find(SLICE("%PDF-"))));
    CU_ASSERT_TRUE(true_types_has(&set, true_type_find(SLICE("#!/bin/sh"))));
    CU_ASSERT_FALSE(true_types_has(&set, true_type_find(SLICE("GIF89a"))));
    CU_ASSERT_FALSE(true_types_has(&set, true_type_find(SLICE("hello"))));
    CU_ASSERT_EQUAL(true_types_add(&set, SLICE("executables"), &err), -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "did you mean \"executable\""));
}

static void
knows_what_names_promise(void)
{
    CU_ASSERT_EQUAL(true_type_classes_of_media(SLICE("image/jpeg")), CLASS_IMAGE);
    CU_ASSERT_EQUAL(true_type_classes_of_media(SLICE("Image/SVG+xml")), CLASS_IMAGE | CLASS_TEXT);
    CU_ASSERT_EQUAL(true_type_classes_of_media(SLICE("application/octet-stream")), 0);
    CU_ASSERT_EQUAL(true_type_classes_of_media(SLICE("application/ld+json")), CLASS_TEXT);
    CU_ASSERT_EQUAL(true_type_classes_of_media(SLICE("")), 0);
    CU_ASSERT_EQUAL(true_type_classes_of_extension(SLICE("JPG")), CLASS_IMAGE);
    CU_ASSERT_EQUAL(true_type_classes_of_extension(SLICE("bin")), 0);
}

void
suite_true_type(void)
{
    CU_pSuite s = CU_add_suite("true_type", NULL, NULL);

    CU_add_test(s, "knows programs", knows_programs);
    CU_add_test(s, "knows what is in a zip", knows_what_is_in_a_zip);
    CU_add_test(s, "knows archives and documents", knows_archives_and_documents);
    CU_add_test(s, "knows media and fonts", knows_media_and_fonts);
    CU_add_test(s, "sniffs as browsers do", sniffs_as_browsers_do);
    CU_add_test(s, "is not misled by what stands further on",
                is_not_misled_by_what_stands_further_on);
    CU_add_test(s, "sets have types and classes", sets_have_types_and_classes);
    CU_add_test(s, "knows what names promise", knows_what_names_promise);
}
