/* SPDX-License-Identifier: BSD-2-Clause */
/* test_structured_field.c - the parser of RFC 9651, clause by clause. */
#include "config.h"

#include "cache/structured_field.h"

#include <stdarg.h>
#include <stdio.h>

#include <CUnit/CUnit.h>

#include "server/base/must.h"

void suite_structured_field(void);

static struct arena arena;

static int
init(void)
{
    arena_init(&arena, NULL, 1024 * 1024);
    return 0;
}

static int
fini(void)
{
    arena_fini(&arena);
    return 0;
}

/* ---- fields written out again, in a form that shows all of their meaning */

struct page {
    char text[16384];
    size_t bytes;
};

static void PRINTF_LIKE(2, 3)
put(struct page *page, const char *format, ...)
{
    size_t room = sizeof(page->text) - page->bytes;
    va_list args;
    int bytes;

    va_start(args, format);
    bytes = vsnprintf(page->text + page->bytes, room, format, args);
    va_end(args);
    must(bytes >= 0 && (size_t)bytes < room);
    page->bytes += (size_t)bytes;
}

static void put_item(struct page *page, const struct sf_item *item);

static void
put_inner(struct page *page, struct slice inner)
{
    struct sf_item item;
    const char *gap = "";

    put(page, "(");
    while (sf_next_inner(&inner, &item)) {
        put(page, "%s", gap);
        put_item(page, &item);
        gap = " ";
    }
    put(page, ")");
}

static void
put_value(struct page *page, const struct sf_item *item)
{
    static const char *const names[] = {
        [SF_INTEGER] = "int", [SF_DECIMAL] = "dec", [SF_STRING] = "str", [SF_TOKEN] = "tok",
        [SF_BYTES] = "bin", [SF_BOOLEAN] = "bool", [SF_DATE] = "date",
        [SF_DISPLAY_STRING] = "disp", [SF_INNER_LIST] = "",
    };

    put(page, "%s", names[item->type]);
    switch (item->type) {
    case SF_INTEGER:
    case SF_DECIMAL:
    case SF_BOOLEAN:
    case SF_DATE:
        put(page, ":%lld", (long long)item->number);
        return;
    case SF_STRING:
    case SF_TOKEN:
    case SF_BYTES:
    case SF_DISPLAY_STRING:
        put(page, ":%.*s", SLICE_ARG(sf_item_text(item, &arena)));
        return;
    case SF_INNER_LIST:
        put_inner(page, item->text);
        return;
    }
}

static void
put_item(struct page *page, const struct sf_item *item)
{
    struct slice parameters = item->parameters, key;
    struct sf_item value;

    put_value(page, item);
    while (sf_next_parameter(&parameters, &key, &value)) {
        put(page, ";%.*s=", SLICE_ARG(key));
        put_value(page, &value);
    }
    CU_ASSERT_EQUAL(parameters.bytes, 0);
}

static const char *
item(const char *text)
{
    static struct page page;
    struct sf_reader reader;
    struct sf_item one;

    page.bytes = 0;
    sf_reader_init(&reader, slice_of(text));
    if (!sf_only_item(&reader, &one))
        return sf_reader_is_done(&reader) ? "at odds" : "wrong";
    CU_ASSERT_TRUE(sf_reader_is_done(&reader));
    put_item(&page, &one);
    return page.text;
}

static const char *
list(const char *text)
{
    static struct page page;
    struct sf_reader reader;
    struct sf_item one;

    page.bytes = 0;
    put(&page, "[");
    sf_reader_init(&reader, slice_of(text));
    while (sf_next_element(&reader, &one)) {
        put(&page, "%s", reader.members > 1 ? ", " : "");
        put_item(&page, &one);
    }
    put(&page, "]");
    return sf_reader_is_done(&reader) ? page.text : "wrong";
}

static const char *
dictionary(const char *text)
{
    static struct page page;
    struct sf_reader reader;
    struct sf_item one;
    struct slice key;

    page.bytes = 0;
    put(&page, "{");
    sf_reader_init(&reader, slice_of(text));
    while (sf_next_member(&reader, &key, &one)) {
        put(&page, "%s%.*s=", reader.members > 1 ? ", " : "", SLICE_ARG(key));
        put_item(&page, &one);
    }
    put(&page, "}");
    return sf_reader_is_done(&reader) ? page.text : "wrong";
}

#define ITEM(text, expected) CU_ASSERT_STRING_EQUAL(item(text), expected)
#define LIST(text, expected) CU_ASSERT_STRING_EQUAL(list(text), expected)
#define DICTIONARY(text, expected) CU_ASSERT_STRING_EQUAL(dictionary(text), expected)

/* ---- bare items */

/* RFC 9651 section 4.2.4: at most 15 digits. */
static void
reads_integers(void)
{
    ITEM("0", "int:0");
    ITEM("42", "int:42");
    ITEM("-42", "int:-42");
    ITEM("-0", "int:0");
    ITEM("0042", "int:42");
    ITEM("999999999999999", "int:999999999999999");
    ITEM("-999999999999999", "int:-999999999999999");
    ITEM("1000000000000000", "wrong");
    ITEM("-", "wrong");
    ITEM("--1", "wrong");
    ITEM("+1", "wrong");
    ITEM("- 1", "wrong");
    ITEM("1a", "wrong");
}

/* RFC 9651 section 4.2.4: at most 12 digits before the point, 1 to 3 behind. */
static void
reads_decimals(void)
{
    ITEM("4.5", "dec:4500");
    ITEM("-4.5", "dec:-4500");
    ITEM("0.001", "dec:1");
    ITEM("1.25", "dec:1250");
    ITEM("999999999999.999", "dec:999999999999999");
    ITEM("1000000000000.0", "wrong");
    ITEM("1.", "wrong");
    ITEM(".5", "wrong");
    ITEM("-.5", "wrong");
    ITEM("1.0001", "wrong");
    ITEM("1.2.3", "wrong");
    ITEM("1.-2", "wrong");
}

/* RFC 9651 section 4.2.5. */
static void
reads_strings(void)
{
    ITEM("\"\"", "str:");
    ITEM("\"foo bar\"", "str:foo bar");
    ITEM("\"a\\\"b\\\\c\"", "str:a\"b\\c");
    ITEM("\"~ !\"", "str:~ !");
    ITEM("\"a", "wrong");
    ITEM("\"a\\", "wrong");
    ITEM("\"a\\\"", "wrong");
    ITEM("\"a\\b\"", "wrong");
    ITEM("\"a\tb\"", "wrong");
    ITEM("\"a\x7f\"", "wrong");
    ITEM("\"f\xc3\xbc\"", "wrong");
    ITEM("'a'", "wrong");
}

/* RFC 9651 section 4.2.6. */
static void
reads_tokens(void)
{
    ITEM("a", "tok:a");
    ITEM("*", "tok:*");
    ITEM("Foo/bar:1.*!#$%&'+-^_`|~", "tok:Foo/bar:1.*!#$%&'+-^_`|~");
    ITEM("/a", "wrong");
    ITEM("a(b", "wrong");
    ITEM("\xc3\xbc", "wrong");
}

/* RFC 9651 section 4.2.7: padding may lack; bits left over may be anything. */
static void
reads_byte_sequences(void)
{
    struct sf_reader reader;
    struct sf_item one;
    struct slice bytes;

    ITEM("::", "bin:");
    ITEM(":aGVsbG8=:", "bin:hello");
    ITEM(":aGVsbG8:", "bin:hello");
    ITEM(":aGVsbG9:", "bin:hello");
    ITEM(":aGk=:", "bin:hi");
    ITEM(":aA==:", "bin:h");
    ITEM(":aGVsbG8=", "wrong");
    ITEM(":aGVs bG8=:", "wrong");
    ITEM(":a:", "wrong");
    ITEM(":aG=:", "wrong");
    ITEM(":a===:", "wrong");
    ITEM(":====:", "wrong");
    ITEM(":aG=k:", "wrong");
    ITEM(":_-Ah:", "wrong");
    sf_reader_init(&reader, SLICE(":+/AA:"));
    CU_ASSERT_TRUE(sf_only_item(&reader, &one));
    bytes = sf_item_text(&one, &arena);
    CU_ASSERT_TRUE(slice_equal(bytes, slice_make("\xfb\xf0\x00", 3)));
}

/* RFC 9651 section 4.2.8. */
static void
reads_booleans(void)
{
    ITEM("?0", "bool:0");
    ITEM("?1", "bool:1");
    ITEM("?2", "wrong");
    ITEM("?", "wrong");
    ITEM("?01", "wrong");
    ITEM("?true", "wrong");
}

/* RFC 9651 section 4.2.9. */
static void
reads_dates(void)
{
    ITEM("@1659578233", "date:1659578233");
    ITEM("@-1", "date:-1");
    ITEM("@1.5", "wrong");
    ITEM("@", "wrong");
    ITEM("@\"1\"", "wrong");
}

/* RFC 9651 section 4.2.10: percent-encoded UTF-8, hexadecimal in lower case. */
static void
reads_display_strings(void)
{
    ITEM("%\"\"", "disp:");
    ITEM("%\"plain \\ text\"", "disp:plain \\ text");
    ITEM("%\"f%c3%bc%e2%82%ac%f0%9f%92%a9\"", "disp:f\xc3\xbc\xe2\x82\xac\xf0\x9f\x92\xa9");
    ITEM("%\"%22%25\"", "disp:\"%");
    ITEM("%\"f%C3%BC\"", "wrong");
    ITEM("%\"%c3\"", "wrong");     /* cut */
    ITEM("%\"%c3a\"", "wrong");
    ITEM("%\"%bc\"", "wrong");     /* no beginning */
    ITEM("%\"%c0%af\"", "wrong");  /* longer than needed */
    ITEM("%\"%c1%bf\"", "wrong");
    ITEM("%\"%e0%9f%bf\"", "wrong");
    ITEM("%\"%f0%8f%bf%bf\"", "wrong");
    ITEM("%\"%ed%a0%80\"", "wrong"); /* surrogate */
    ITEM("%\"%f4%90%80%80\"", "wrong"); /* beyond U+10FFFF */
    ITEM("%\"%f5%80%80%80\"", "wrong");
    ITEM("%\"%f4%8f%bf%bf\"", "disp:\xf4\x8f\xbf\xbf");
    ITEM("%\"%ed%9f%bf%ee%80%80\"", "disp:\xed\x9f\xbf\xee\x80\x80");
    ITEM("%\"f\xc3\xbc\"", "wrong");
    ITEM("%\"a%2\"", "wrong");
    ITEM("%\"a%2", "wrong");
    ITEM("%\"a%gg\"", "wrong");
    ITEM("%\"a", "wrong");
    ITEM("%a", "wrong");
    ITEM("%", "wrong");
}

/* ---- items and parameters */

/* RFC 9651 sections 4.2 and 4.2.3: one item, spaces around it, nothing else. */
static void
reads_one_item_alone(void)
{
    ITEM("  1  ", "int:1");
    ITEM("", "wrong");
    ITEM("   ", "wrong");
    ITEM("\t1", "wrong");
    ITEM("1\t", "wrong");
    ITEM("1, 2", "wrong");
    ITEM("(1)", "wrong");
    ITEM("1 2", "wrong");
    ITEM("&&&", "wrong");
}

/* RFC 9651 section 4.2.3.2. */
static void
reads_parameters(void)
{
    ITEM("1;a", "int:1;a=bool:1");
    ITEM("1;a;b=?0;*c.d-e_9=tok", "int:1;a=bool:1;b=bool:0;*c.d-e_9=tok:tok");
    ITEM("1;  a=2;  b=\"x;y\"", "int:1;a=int:2;b=str:x;y");
    ITEM("1;a=1;a=2", "int:1;a=int:1;a=int:2");
    ITEM("1 ;a", "wrong");
    ITEM("1;", "wrong");
    ITEM("1;;a", "wrong");
    ITEM("1;a=", "wrong");
    ITEM("1;a =1", "wrong");
    ITEM("1;a= 1", "wrong");
    ITEM("1;A=1", "wrong");
    ITEM("1;9=1", "wrong");
    ITEM("1;\ta", "wrong");
    ITEM("1;a=(1)", "wrong");
}

/* ---- lists */

/* RFC 9651 section 4.2.1: no comma may come last, or twice. */
static void
reads_lists(void)
{
    LIST("", "[]");
    LIST("  ", "[]");
    LIST("1", "[int:1]");
    LIST("1,42", "[int:1, int:42]");
    LIST("a \t, \t b;x , \"c,d\"", "[tok:a, tok:b;x=bool:1, str:c,d]");
    LIST("1 ", "[int:1]");
    LIST("1\t", "[int:1]");
    LIST("1,", "wrong");
    LIST("1, ", "wrong");
    LIST(",1", "wrong");
    LIST("1,,2", "wrong");
    LIST("1 2", "wrong");
    LIST("1;", "wrong");
}

/* RFC 9651 section 4.2.1.2. */
static void
reads_inner_lists(void)
{
    LIST("()", "[()]");
    LIST("(   )", "[()]");
    LIST("(1 2), (a;b  \"c\" );d=1", "[(int:1 int:2), (tok:a;b=bool:1 str:c);d=int:1]");
    LIST("( 1  42 )", "[(int:1 int:42)]");
    LIST("(1", "wrong");
    LIST("(1 2", "wrong");
    LIST("(1,2)", "wrong");
    LIST("(\"a\"\"b\")", "wrong");
    LIST("(1\t2)", "wrong");
    LIST("((1) 2)", "wrong");
    LIST(")", "wrong");
}

/* ---- dictionaries */

/* RFC 9651 section 4.2.2. */
static void
reads_dictionaries(void)
{
    DICTIONARY("", "{}");
    DICTIONARY("a=1", "{a=int:1}");
    DICTIONARY("a=1,b=2", "{a=int:1, b=int:2}");
    DICTIONARY("a, b;x=1, c=?0", "{a=bool:1, b=bool:1;x=int:1, c=bool:0}");
    DICTIONARY("a=(1 2);x, *b=:aGk=:", "{a=(int:1 int:2);x=bool:1, *b=bin:hi}");
    DICTIONARY("a=1 \t,\t b=2", "{a=int:1, b=int:2}");
    DICTIONARY("a=1,", "wrong");
    DICTIONARY("a=1,,b=2", "wrong");
    DICTIONARY(",a=1", "wrong");
    DICTIONARY("a=", "wrong");
    DICTIONARY("a =1", "wrong");
    DICTIONARY("a= 1", "wrong");
    DICTIONARY("A=1", "wrong");
    DICTIONARY("1=1", "wrong");
    DICTIONARY("a=1 b=2", "wrong");
    DICTIONARY("a=1, &&&&&", "wrong");
    DICTIONARY("a=1;", "wrong");
    DICTIONARY("a=,b=1", "wrong");
}

/* RFC 9651 section 4.2.2: a later value replaces; the reader shows both. */
static void
shows_duplicate_keys_in_order(void)
{
    DICTIONARY("a=1, b=2, a=3", "{a=int:1, b=int:2, a=int:3}");
}

/* RFC 9651 section 4.2: a mistake at the end spoils all, and stays. */
static void
stops_at_the_first_mistake(void)
{
    struct sf_reader reader;
    struct sf_item one;
    struct slice key;

    sf_reader_init(&reader, SLICE("a=1, B=2, c=3"));
    CU_ASSERT_TRUE(sf_next_member(&reader, &key, &one));
    CU_ASSERT_FALSE(sf_reader_is_done(&reader));
    CU_ASSERT_FALSE(sf_next_member(&reader, &key, &one));
    CU_ASSERT_FALSE(sf_next_member(&reader, &key, &one));
    CU_ASSERT_FALSE(sf_reader_is_done(&reader));
}

/* ---- limits */

static struct slice
repeated(const char *first, const char *piece, unsigned count, const char *last)
{
    size_t bytes = strlen(first) + strlen(piece) * count + strlen(last);
    char *text = arena_alloc(&arena, bytes + 1), *at = text;

    at = stpcpy(at, first);
    for (unsigned i = 0; i < count; i++)
        at = stpcpy(at, piece);
    stpcpy(at, last);
    return slice_make(text, bytes);
}

/* RFC 9651 section 3.1: at least 1024 members have to be read. */
static void
limits_members(void)
{
    LIST(repeated("1", ",1", SF_MEMBERS_MAX, "").data, "wrong");
    CU_ASSERT_STRING_NOT_EQUAL(list(repeated("1", ",1", 500, "").data), "wrong");
    {
        struct slice text = repeated("a", ",a", SF_MEMBERS_MAX - 1, "");
        struct sf_reader reader;
        struct sf_item one;
        struct slice key;
        unsigned count = 0;

        sf_reader_init(&reader, text);
        while (sf_next_member(&reader, &key, &one))
            count++;
        CU_ASSERT_EQUAL(count, SF_MEMBERS_MAX);
        CU_ASSERT_TRUE(sf_reader_is_done(&reader));
    }
}

/* RFC 9651 sections 3.1.1 and 3.1.2: at least 256. */
static void
limits_inner_lists_and_parameters(void)
{
    CU_ASSERT_STRING_NOT_EQUAL(list(repeated("(", "1 ", SF_INNER_MAX, ")").data), "wrong");
    LIST(repeated("(", "1 ", SF_INNER_MAX + 1, ")").data, "wrong");
    CU_ASSERT_STRING_NOT_EQUAL(item(repeated("1", ";a", SF_INNER_MAX, "").data), "wrong");
    ITEM(repeated("1", ";a", SF_INNER_MAX + 1, "").data, "wrong");
}

static void
limits_bytes(void)
{
    struct sf_reader reader;
    struct sf_item one;

    sf_reader_init(&reader, repeated("\"", "x", SF_BYTES_MAX - 2, "\""));
    CU_ASSERT_TRUE(sf_only_item(&reader, &one));
    CU_ASSERT_EQUAL(one.text.bytes, SF_BYTES_MAX - 2);
    sf_reader_init(&reader, repeated("\"", "x", SF_BYTES_MAX - 1, "\""));
    CU_ASSERT_FALSE(sf_only_item(&reader, &one));
}

/* Text without escapes costs no memory; text with some says when there is none. */
static void
says_when_memory_is_short(void)
{
    struct sf_reader reader;
    struct sf_item one;
    struct arena small;

    arena_init(&small, NULL, 0);
    sf_reader_init(&reader, SLICE("\"plain\""));
    CU_ASSERT_TRUE(sf_only_item(&reader, &one));
    CU_ASSERT_TRUE(slice_equal(sf_item_text(&one, &small), SLICE("plain")));
    CU_ASSERT_FALSE(arena_is_spent(&small));
    sf_reader_init(&reader, SLICE("\"\\\\\""));
    CU_ASSERT_TRUE(sf_only_item(&reader, &one));
    CU_ASSERT_PTR_NULL(sf_item_text(&one, &small).data);
    CU_ASSERT_TRUE(arena_is_spent(&small));
    arena_fini(&small);
}

void
suite_structured_field(void)
{
    CU_pSuite s = CU_add_suite("structured_field", init, fini);

    CU_add_test(s, "reads integers", reads_integers);
    CU_add_test(s, "reads decimals", reads_decimals);
    CU_add_test(s, "reads strings", reads_strings);
    CU_add_test(s, "reads tokens", reads_tokens);
    CU_add_test(s, "reads byte sequences", reads_byte_sequences);
    CU_add_test(s, "reads booleans", reads_booleans);
    CU_add_test(s, "reads dates", reads_dates);
    CU_add_test(s, "reads display strings", reads_display_strings);
    CU_add_test(s, "reads one item alone", reads_one_item_alone);
    CU_add_test(s, "reads parameters", reads_parameters);
    CU_add_test(s, "reads lists", reads_lists);
    CU_add_test(s, "reads inner lists", reads_inner_lists);
    CU_add_test(s, "reads dictionaries", reads_dictionaries);
    CU_add_test(s, "shows duplicate keys in order", shows_duplicate_keys_in_order);
    CU_add_test(s, "stops at the first mistake", stops_at_the_first_mistake);
    CU_add_test(s, "limits members", limits_members);
    CU_add_test(s, "limits inner lists and parameters", limits_inner_lists_and_parameters);
    CU_add_test(s, "limits bytes", limits_bytes);
    CU_add_test(s, "says when memory is short", says_when_memory_is_short);
}
