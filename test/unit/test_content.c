/* SPDX-License-Identifier: BSD-2-Clause */
/* test_content.c - promises of filters/content.h and filters/content_field.h. */
#include "config.h"

#include "filters/content_field.h"
#include "filters/content_inside.h"

#include <zlib.h>

#include "test/unit/content_fixture.h"
#include "test/unit/filter_fixture.h"
#include "test/unit/suites.h"

/* ---- fields */

static bool
has_extension(const char *name, const char *extension)
{
    return slice_equal(file_extension(slice_of(name)), slice_of(extension));
}

static void
finds_extensions(void)
{
    CU_ASSERT_TRUE(has_extension("/a/b.tar.exe", "exe"));
    CU_ASSERT_TRUE(has_extension("x.exe. . ", "exe"));
    CU_ASSERT_TRUE(has_extension("/a.b/c", ""));
    CU_ASSERT_TRUE(has_extension("C:\\a.b\\c", ""));
    CU_ASSERT_TRUE(has_extension(".htaccess", "htaccess"));
    CU_ASSERT_TRUE(has_extension("a.asp;1", "asp"));
    CU_ASSERT_TRUE(has_extension("a.asp ::$DATA", "asp"));
    CU_ASSERT_TRUE(has_extension("", ""));
    CU_ASSERT_TRUE(has_extension("...", ""));
}

static void
matches_media_types(void)
{
    CU_ASSERT_TRUE(content_type_is(SLICE("IMAGE/png"), SLICE("image/PNG")));
    CU_ASSERT_TRUE(content_type_is(SLICE("image/png"), SLICE("image/*")));
    CU_ASSERT_FALSE(content_type_is(SLICE("image/"), SLICE("image/*")));
    CU_ASSERT_FALSE(content_type_is(SLICE("imagex/png"), SLICE("image/*")));
    CU_ASSERT_TRUE(content_type_is(SLICE("application/ld+json"), SLICE("*+json")));
    CU_ASSERT_FALSE(content_type_is(SLICE("+json"), SLICE("*+json")));
    CU_ASSERT_TRUE(content_type_is(SLICE(""), SLICE("*")));
    CU_ASSERT_TRUE(content_type_pattern_is_valid(SLICE("*/*")));
    CU_ASSERT_FALSE(content_type_pattern_is_valid(SLICE("html")));
    CU_ASSERT_FALSE(content_type_pattern_is_valid(SLICE("text/html; charset=x")));
    CU_ASSERT_FALSE(content_type_pattern_is_valid(SLICE("te*t/html")));
    CU_ASSERT_FALSE(content_type_pattern_is_valid(SLICE("")));
}

static bool
is_named(const char *disposition, const char *first, const char *second)
{
    struct content_facts facts = { .name_count = 0 };
    struct fields fields = { .count = 0 };
    struct arena arena;
    bool is_right;

    arena_init(&arena, NULL, 8192);
    fields_add_name(&fields, &arena, SLICE("Content-Disposition"), slice_of(disposition));
    content_add_dispositions(&facts, &fields, &arena);
    is_right = slice_equal(facts.names[0], slice_of(first)) &&
               slice_equal(facts.names[1], slice_of(second));
    arena_fini(&arena);
    return is_right;
}

/* RFC 6266 and, where it is malformed, whatever could be a name. */
static void
finds_file_names(void)
{
    CU_ASSERT_TRUE(is_named("attachment", "", ""));
    CU_ASSERT_TRUE(is_named("attachment; filename=a.exe", "a.exe", ""));
    CU_ASSERT_TRUE(is_named("attachment; filename=\"a b\\\".exe\"; filename*=UTF-8''%61.e%78e",
                            "a b\".exe", "a.exe"));
    CU_ASSERT_TRUE(is_named("attachment; filename=a b.exe", "a", "b.exe"));
    CU_ASSERT_TRUE(is_named("attachment; filename=\"a.exe", "a.exe", ""));
    CU_ASSERT_TRUE(is_named("attachment; x y; filename=\"a.exe\"; z", "a.exe", ""));
    CU_ASSERT_TRUE(is_named("attachment; filename=\"a.e%78e\"", "a.e%78e", "a.exe"));
    CU_ASSERT_TRUE(is_named("attachment; filename*0=\"a.e\"; FileName*1*=%78e", "a.exe", ""));
    CU_ASSERT_TRUE(is_named("attachment; filename=\"=?UTF-8?B?YS5leGU=?=\"",
                            "=?UTF-8?B?YS5leGU=?=", "a.exe"));
    CU_ASSERT_TRUE(is_named("attachment; filename=\"x=?u?q?a=2Eexe?=y\"", "x=?u?q?a=2Eexe?=y",
                            "xa.exey"));
    CU_ASSERT_TRUE(is_named("attachment; filename==?utf-8?Q?a=2Eexe?=", "=?utf-8?Q?a=2Eexe?=",
                            "a.exe"));
}

/* ---- rules */

static const struct content_conf *
conf_of(const char *text)
{
    char whole[512];

    snprintf(whole, sizeof(whole), "filter = \"content\"; %s", text);
    return (const struct content_conf *)filter_made(whole);
}

static bool
is_refused_name(const char *disposition)
{
    struct content_facts facts = { .name_count = 0 };
    struct fields fields = { .count = 0 };
    bool is_refused;
    struct arena arena;

    arena_init(&arena, NULL, 8192);
    fields_add_name(&fields, &arena, SLICE("Content-Disposition"), SLICE("inline"));
    fields_add_name(&fields, &arena, SLICE("Content-Disposition"), slice_of(disposition));
    content_add_dispositions(&facts, &fields, &arena);
    is_refused = content_judge_said(conf_of("deny_extensions = [ \"exe\" ];"), &arena,
                                    &facts).why != NULL;
    arena_fini(&arena);
    return is_refused;
}

/* What one receiver or another may store it under, and names that cannot be told. */
static void
refuses_names_in_every_disguise(void)
{
    CU_ASSERT_FALSE(is_refused_name("attachment; filename=\"a.txt\""));
    CU_ASSERT_TRUE(is_refused_name("attachment; filename=\"a.exe\""));
    CU_ASSERT_TRUE(is_refused_name("attachment; filename=\"a.exe;.jpg\""));
    CU_ASSERT_TRUE(is_refused_name("attachment; filename=\"a.exe::$DATA\""));
    CU_ASSERT_TRUE(is_refused_name("attachment; filename=\"a.exe%00.jpg\""));
    CU_ASSERT_TRUE(is_refused_name("attachment; filename*1=exe; filename*0=a."));
    CU_ASSERT_TRUE(is_refused_name("attachment; filename=\"=?utf-8?x?a?=\""));
    CU_ASSERT_TRUE(is_refused_name("a; filename=1; filename=2; filename=3; filename=4; "
                                   "filename=5; filename=6; filename=7; filename=8; filename=9"));
}

static enum content_event
said(const struct content_conf *conf, const char *type, const char *name)
{
    const struct content_facts facts = { .type = slice_of(type), .names = { slice_of(name) },
                                         .name_count = 1 };
    struct content_verdict verdict = content_judge_said(conf, &conf_arena, &facts);

    CU_ASSERT_EQUAL(verdict.why == NULL, verdict.event == CONTENT_PASSED);
    return verdict.event;
}

static void
judges_types_and_extensions(void)
{
    const struct content_conf *conf = conf_of("deny_types = [ \"video/*\" ]; "
                                              "deny_extensions = [ \"exe\", \"Php\" ];");

    CU_ASSERT_EQUAL(said(conf, "Video/mp4", "/a"), CONTENT_TYPE);
    CU_ASSERT_EQUAL(said(conf, "text/html", "/a.EXE"), CONTENT_EXTENSION);
    CU_ASSERT_EQUAL(said(conf, "text/html", "/a.php.jpg"), CONTENT_EXTENSION);
    CU_ASSERT_EQUAL(said(conf, "text/html", "/a.phpx"), CONTENT_PASSED);
    CU_ASSERT_EQUAL(said(conf, "", "/exe"), CONTENT_PASSED);
    conf = conf_of("allow_types = [ \"text/*\", \"image/png\" ];");
    CU_ASSERT_EQUAL(said(conf, "text/css", "/"), CONTENT_PASSED);
    CU_ASSERT_EQUAL(said(conf, "image/gif", "/"), CONTENT_TYPE);
    CU_ASSERT_EQUAL(said(conf, "", "/"), CONTENT_TYPE);
}

static enum content_event
seen(const struct content_conf *conf, const char *type, const char *name, struct slice start,
     bool *is_mismatch)
{
    const struct content_facts facts = { .type = slice_of(type), .names = { slice_of(name) },
                                         .name_count = 1, .start = start };

    return content_judge_start(conf, &conf_arena, &facts, is_mismatch).event;
}

static void
judges_first_bytes(void)
{
    const struct content_conf *conf = conf_of("deny_true_types = [ \"executable\" ]; "
                                              "on_mismatch = \"deny\";");
    struct slice elf = SLICE("\x7f" "ELF"), png = SLICE("\x89PNG\r\n\x1a\n");
    bool is_mismatch;

    CU_ASSERT_EQUAL(seen(conf, "image/jpeg", "/a.jpg", elf, &is_mismatch), CONTENT_TRUE_TYPE);
    CU_ASSERT_EQUAL(seen(conf, "image/jpeg", "/a.jpg", png, &is_mismatch), CONTENT_PASSED);
    CU_ASSERT_EQUAL(seen(conf, "text/css", "/a", png, &is_mismatch), CONTENT_MISMATCH);
    CU_ASSERT_TRUE(is_mismatch);
    CU_ASSERT_EQUAL(seen(conf, "application/octet-stream", "/a.mp3", png, &is_mismatch),
                    CONTENT_MISMATCH);
    CU_ASSERT_EQUAL(seen(conf, "application/octet-stream", "/a", png, &is_mismatch),
                    CONTENT_PASSED);
    CU_ASSERT_EQUAL(seen(conf, "image/png", "/a", SLICE("hello"), &is_mismatch), CONTENT_PASSED);
    conf = conf_of("on_mismatch = \"log\";");
    CU_ASSERT_EQUAL(seen(conf, "image/png", "/a", elf, &is_mismatch), CONTENT_PASSED);
    CU_ASSERT_TRUE(is_mismatch);
}

/* ---- under codings */

static size_t
compress_to(char *to, size_t room, const char *text, size_t bytes, const char *name)
{
    z_stream zlib = { .next_in = (unsigned char *)(uintptr_t)text, .avail_in = (unsigned)bytes,
                      .next_out = (unsigned char *)to, .avail_out = (unsigned)room };
    gz_header header = { .name = (unsigned char *)(uintptr_t)name };

    CU_ASSERT_EQUAL_FATAL(deflateInit2(&zlib, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    if (name != NULL)
        CU_ASSERT_EQUAL(deflateSetHeader(&zlib, &header), Z_OK);
    CU_ASSERT_EQUAL(deflate(&zlib, Z_FINISH), Z_STREAM_END);
    deflateEnd(&zlib);
    return room - zlib.avail_out;
}

static void
looks_under_codings(void)
{
    static char text[20000], coded[40000], twice[60000], name[5000], room[CONTENT_DECODED_BYTES];
    struct codings codings = { .items = { CODING_GZIP, CODING_GZIP }, .count = 1 };
    struct slice decoded;
    size_t bytes;

    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)(i * i >> 7);
    memcpy(text, "MZ", 2);
    bytes = compress_to(coded, sizeof(coded), text, sizeof(text), NULL);
    CU_ASSERT_TRUE(content_decode_start(&codings, slice_make(coded, bytes), true, room, &decoded));
    CU_ASSERT_EQUAL(decoded.bytes, CONTENT_DECODED_BYTES);
    CU_ASSERT_EQUAL(memcmp(decoded.data, text, decoded.bytes), 0);
    CU_ASSERT_FALSE(content_decode_start(&codings, slice_make(coded, 15), false, room, &decoded));
    CU_ASSERT_FALSE(content_decode_start(&codings, SLICE("no gzip"), true, room, &decoded));

    codings.count = 2;
    bytes = compress_to(twice, sizeof(twice), coded, bytes, NULL);
    CU_ASSERT_TRUE(content_decode_start(&codings, slice_make(twice, bytes), true, room, &decoded));
    CU_ASSERT_EQUAL(memcmp(decoded.data, text, decoded.bytes), 0);

    codings.count = 1; /* hidden behind a long name */
    memset(name, 'n', sizeof(name) - 1);
    compress_to(coded, sizeof(coded), text, sizeof(text), name);
    CU_ASSERT_FALSE(content_decode_start(&codings, slice_make(coded, 4096), false, room,
                                         &decoded));
}

/* ---- uploads */

#define FORM_TYPE "multipart/form-data; boundary=b"
#define PART(parameters, content)                                                                  \
    "--b\r\nContent-Disposition: form-data; name=a" parameters "\r\n\r\n" content "\r\n"

static const char *upload_field[2]; /* name and value of one more; NULL: none */

/* The status with which an upload is refused; 0: it passed, unchanged. */
static unsigned
upload(const struct content_conf *conf, const char *type, const char *text, size_t bytes,
       size_t step, uint64_t length)
{
    unsigned status;

    content_begin();
    content.waits = step < 3;
    content.says_last = step % 2 == 0;
    content_script(text, bytes, step);
    content.ex.request = (struct request){ .method = METHOD_PUT, .path = SLICE("/up/x.jpg"),
                                           .length = length };
    fields_add(&content.ex.request.fields, &content.ex.arena, FIELD_CONTENT_TYPE, slice_of(type));
    if (upload_field[0] != NULL)
        fields_add_name(&content.ex.request.fields, &content.ex.arena, slice_of(upload_field[0]),
                        slice_of(upload_field[1]));
    content_run(content_watch_upload(conf, &content.ex, &content.source), step % 5);
    status = content.ex.refusal != NULL ? content.ex.refusal->status : 0;
    CU_ASSERT_EQUAL(content.result, status == 0 ? PUMP_DONE : PUMP_SOURCE_FAILED);
    if (status == 0) {
        CU_ASSERT_TRUE(content_is(text, bytes));
    } else if (length != LENGTH_UNKNOWN) { /* never all of it */
        CU_ASSERT_TRUE(content.out_bytes < bytes);
    }
    content_finish();
    return status;
}

/* The same for every way to cut it, and with a length that is known and not. */
static bool
uploads(const struct content_conf *conf, const char *type, const char *text, unsigned status)
{
    size_t bytes = strlen(text);

    for (size_t step = 1; step <= bytes; step++)
        if (upload(conf, type, text, bytes, step, LENGTH_UNKNOWN) != status ||
            upload(conf, type, text, bytes, step, bytes) != status) {
            printf("step %zu\n", step);
            return false;
        }
    return true;
}

static bool
uploads_with(const struct content_conf *conf, const char *name, const char *value,
             const char *text, unsigned status)
{
    bool is_right;

    upload_field[0] = name;
    upload_field[1] = value;
    is_right = uploads(conf, "text/plain", text, status);
    upload_field[0] = NULL;
    return is_right;
}

static void
judges_every_file_of_a_form(void)
{
    const struct content_conf *conf = conf_of("uploads = true; deny_extensions = [ \"exe\" ]; "
                                              "deny_true_types = [ \"executable\" ];");

    CU_ASSERT_TRUE(uploads(conf, FORM_TYPE, PART("", "#!") PART("; filename=f", "hello") "--b--",
                           0));
    CU_ASSERT_TRUE(uploads(conf, FORM_TYPE, PART("; filename=\"x.EXE\"", "") "--b--", 403));
    CU_ASSERT_TRUE(uploads(conf, FORM_TYPE, PART("; filename=x; filename*=utf-8''a%2eexe", "")
                           "--b--", 403));
    CU_ASSERT_TRUE(uploads(conf, FORM_TYPE, PART("; filename=\"x.jpg\"", "GIF89a")
                           PART("; filename=\"y.jpg\"", "#!/bin/sh") "--b--", 403));
    CU_ASSERT_TRUE(uploads(conf, FORM_TYPE, PART("; filename=\"\"", "") "--b--", 0));
    CU_ASSERT_TRUE(uploads(conf, FORM_TYPE, PART("; filename=\"x.gif\"", "GIF89a;<?php x") "--b--",
                           403));
}

static void
refuses_forms_that_cannot_be_read(void)
{
    const struct content_conf *conf = conf_of("uploads = true; "
                                              "deny_true_types = [ \"executable\" ];");

    CU_ASSERT_TRUE(uploads(conf, FORM_TYPE, "--c\r\n", 400));
    CU_ASSERT_TRUE(uploads(conf, FORM_TYPE, PART("", "cut short"), 400));
    CU_ASSERT_TRUE(uploads(conf, "multipart/form-data", PART("", "x") "--b--", 400));
    CU_ASSERT_TRUE(uploads(conf, "multipart/form-data, x; boundary=b",
                           PART("; filename=x", "#!/bin/sh") "--b--", 400));
    conf = conf_of("uploads = true; log_only = true; deny_true_types = [ \"executable\" ];");
    CU_ASSERT_TRUE(uploads(conf, FORM_TYPE, "--c\r\n", 0));
    CU_ASSERT_TRUE(uploads(conf, FORM_TYPE, PART("; filename=x", "#!/bin/sh") "--b--", 0));
}

static void
judges_plain_uploads(void)
{
    const struct content_conf *conf = conf_of("uploads = true; on_mismatch = \"deny\"; "
                                              "deny_true_types = [ \"script\" ];");

    CU_ASSERT_TRUE(uploads(conf, "application/octet-stream", "#!/bin/sh", 403));
    CU_ASSERT_TRUE(uploads(conf, "image/jpeg", "%PDF-1.7", 403));
    CU_ASSERT_TRUE(uploads(conf, "application/octet-stream", "%PDF-1.7", 403)); /* x.jpg */
    CU_ASSERT_TRUE(uploads(conf, "image/gif", "GIF89a", 0));
    CU_ASSERT_TRUE(uploads(conf, "application/x-www-form-urlencoded", "#!=%PDF", 0));
    CU_ASSERT_TRUE(uploads(conf, "application/x-www-form-urlencoded", "#!/bin/sh\necho", 403));
    CU_ASSERT_TRUE(uploads(conf, "", "#!/bin/sh\necho", 403));
    CU_ASSERT_TRUE(uploads_with(conf, "Content-Range", "bytes 1-9/10", "!/bin/sh\n", 403));
    CU_ASSERT_TRUE(uploads_with(conf, "Content-Range", "bytes 0-8/9", "hello.hi.", 0));
    CU_ASSERT_TRUE(uploads_with(conf, "Content-Encoding", "x", "hello", 403));
    CU_ASSERT_TRUE(uploads_with(conf, "Content-Type", "a/b", "hello", 400)); /* a second one */
    conf = conf_of("uploads = true; deny_extensions = [ \"jpg\" ];");
    CU_ASSERT_TRUE(uploads(conf, "application/x-www-form-urlencoded", "a=b", 403));
    conf = conf_of("uploads = true; deny_extensions = [ \"exe\" ];"); /* bytes are no matter */
    CU_ASSERT_TRUE(uploads_with(conf, "Content-Encoding", "x", "hello", 0));
    conf = conf_of("uploads = true; on_mismatch = \"log\";");
    CU_ASSERT_TRUE(uploads_with(conf, "Content-Encoding", "x", "hello", 0));
}

/* ---- sizes */

static void
cuts_content_of_unknown_length(void)
{
    const struct content_conf *conf = conf_of("max_size = \"5\";");

    for (size_t step = 1; step < 8; step++) {
        content_begin();
        content_script("1234567", step < 6 ? 7 : 5, step);
        content_run(content_bound(conf, &content.ex, &content.source), 1);
        CU_ASSERT_EQUAL(content.result, step < 6 ? PUMP_SOURCE_FAILED : PUMP_DONE);
        CU_ASSERT_TRUE(content.out_bytes <= 5);
        content_finish();
    }
}

static void
says_what_is_wrong_with_options(void)
{
    CU_ASSERT_TRUE(is_filter_refused("filter = \"content\"; deny_types = [ \"exe\" ];",
                                     "no media type"));
    CU_ASSERT_TRUE(is_filter_refused("filter = \"content\"; deny_extensions = [ \".exe\" ];",
                                     "without a dot"));
    CU_ASSERT_TRUE(is_filter_refused("filter = \"content\"; deny_true_types = [ \"archives\" ];",
                                     "did you mean \"archive\""));
    CU_ASSERT_TRUE(is_filter_refused("filter = \"content\"; min_size = 9; max_size = 8;",
                                     "min_size is greater"));
    CU_ASSERT_TRUE(is_filter_refused("filter = \"content\"; on_mismatch = \"refuse\";", "deny"));
}

static bool
is_stream(const char *asked, const char *type, struct slice start)
{
    struct exchange *ex = exchange_begin();
    bool is;

    ask(ex, "Content-Type", asked);
    fields_add(&ex->response.fields, &ex->arena, FIELD_CONTENT_TYPE, slice_of(type));
    is = content_is_stream(ex, NULL) && content_is_stream(ex, &start);
    exchange_end(ex);
    return is;
}

/* Who says so and begins otherwise is looked at like all. */
static void
streams_begin_as_such(void)
{
    CU_ASSERT_TRUE(is_stream("", "text/event-stream; charset=utf-8", SLICE("da")));
    CU_ASSERT_TRUE(is_stream("", "text/event-stream", SLICE(":\n")));
    CU_ASSERT_FALSE(is_stream("", "text/event-stream", SLICE("MZ")));
    CU_ASSERT_FALSE(is_stream("", "text/plain", SLICE("da")));
    CU_ASSERT_TRUE(is_stream("", "multipart/x-mixed-replace; boundary=x", SLICE("--")));
    CU_ASSERT_TRUE(is_stream("application/grpc+proto", "application/grpc", SLICE("\0\0")));
    CU_ASSERT_TRUE(is_stream("application/grpc", "application/grpc+proto", SLICE("\1\0")));
    CU_ASSERT_FALSE(is_stream("application/grpc", "application/grpc", SLICE("PK")));
    CU_ASSERT_FALSE(is_stream("", "application/grpc", SLICE("\0\0")));
}

static bool
range_stays(const struct content_conf *conf, const char *range)
{
    struct exchange *ex = exchange_begin();
    bool stays;

    ask(ex, "Range", range);
    ask(ex, "If-Range", "\"x\"");
    conf->filter.ops->request_head(conf, NULL, ex);
    stays = is_field(&ex->request.fields, "Range", range);
    CU_ASSERT_EQUAL(fields_has(&ex->request.fields, FIELD_IF_RANGE), stays);
    exchange_end(ex);
    return stays;
}

static void
parts_begin_at_the_beginning_where_bytes_are_looked_at(void)
{
    const struct content_conf *looks = conf_of("deny_true_types = [ \"pe\" ];");

    CU_ASSERT_TRUE(range_stays(looks, "bytes=0-"));
    CU_ASSERT_TRUE(range_stays(looks, "bytes=0-99999"));
    CU_ASSERT_FALSE(range_stays(looks, "bytes=0-1"));
    CU_ASSERT_FALSE(range_stays(looks, "bytes=1-"));
    CU_ASSERT_FALSE(range_stays(looks, "bytes=-5"));
    CU_ASSERT_FALSE(range_stays(looks, "bytes=0-9999,0-1"));
    CU_ASSERT_TRUE(range_stays(conf_of("deny_types = [ \"a/b\" ];"), "bytes=1-"));
    CU_ASSERT_TRUE(range_stays(conf_of("deny_true_types = [ \"pe\" ]; log_only = true;"),
                               "bytes=1-"));
}

void
suite_content(void)
{
    CU_pSuite s = CU_add_suite("content", fixture_set_up, fixture_tear_down);

    CU_add_test(s, "finds extensions", finds_extensions);
    CU_add_test(s, "matches media types", matches_media_types);
    CU_add_test(s, "finds file names", finds_file_names);
    CU_add_test(s, "refuses names in every disguise", refuses_names_in_every_disguise);
    CU_add_test(s, "judges types and extensions", judges_types_and_extensions);
    CU_add_test(s, "judges first bytes", judges_first_bytes);
    CU_add_test(s, "looks under codings", looks_under_codings);
    CU_add_test(s, "judges every file of a form", judges_every_file_of_a_form);
    CU_add_test(s, "refuses forms that cannot be read", refuses_forms_that_cannot_be_read);
    CU_add_test(s, "judges plain uploads", judges_plain_uploads);
    CU_add_test(s, "cuts content of unknown length", cuts_content_of_unknown_length);
    CU_add_test(s, "streams begin as such", streams_begin_as_such);
    CU_add_test(s, "says what is wrong with options", says_what_is_wrong_with_options);
    CU_add_test(s, "parts begin at the beginning where bytes are looked at",
                parts_begin_at_the_beginning_where_bytes_are_looked_at);
}
