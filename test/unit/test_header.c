/* SPDX-License-Identifier: BSD-2-Clause */
/* test_header.c - field names are recognised, lists of fields keep their order. */
#include "config.h"

#include "server/http/header.h"

#include <ctype.h>
#include <stdio.h>

#include <CUnit/CUnit.h>

void suite_header(void);

static struct arena arena;

static int
begin(void)
{
    arena_init(&arena, NULL, 1 << 20);
    return 0;
}

static int
end(void)
{
    arena_fini(&arena);
    return 0;
}

static struct fields
make(const char *const lines[][2])
{
    struct fields fields = { 0 };

    for (; (*lines)[0] != NULL; lines++)
        fields_add_name(&fields, &arena, slice_of((*lines)[0]), slice_of((*lines)[1]));
    return fields;
}

/* The names in order, as "A|B|C". */
static const char *
names_of(const struct fields *fields)
{
    static char text[1024];
    size_t at = 0;

    text[0] = '\0';
    for (uint32_t i = 0; i < fields->count; i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%.*s", i > 0 ? "|" : "",
                               SLICE_ARG(fields->items[i].name));
    return text;
}

static bool
is_value(struct slice value, const char *text)
{
    return slice_equal(value, slice_of(text));
}

/* ---- the table of header.c: printed anew when the names have changed */

#define X(id, name, flags) #id,
static const char *const id_texts[] = { HEADER_NAMES(X) };
#undef X

static uint32_t
key_of(struct slice name)
{
    const unsigned char *s = (const unsigned char *)name.data;

    return (uint32_t)(s[0] | 0x20) | (uint32_t)(s[name.bytes / 2] | 0x20) << 8 |
           (uint32_t)(s[name.bytes - 2] | 0x20) << 16 | (uint32_t)name.bytes << 24;
}

static bool
fill_slots(uint32_t multiplier, uint8_t slots[512])
{
    memset(slots, 0, 512);
    for (unsigned id = 1; id < FIELD_ID_COUNT; id++) {
        uint8_t *slot = &slots[(key_of(field_name(id)) * multiplier) >> (32 - 9)];

        if (*slot != 0)
            return false;
        *slot = (uint8_t)id;
    }
    return true;
}

static void
print_table(uint32_t multiplier, const uint8_t slots[512])
{
    int column = 0;

    printf("\n#define HASH_MULTIPLIER 0x%08xu\n", multiplier);
    for (unsigned i = 0; i < 512; i++) {
        char entry[80];
        int bytes;

        if (slots[i] == 0)
            continue;
        bytes = snprintf(entry, sizeof(entry), "[%u] = FIELD_%s,", i, id_texts[slots[i] - 1]);
        if (column + 1 + bytes > 100)
            column = 0;
        column += column == 0 ? printf("\n    %s", entry) - 1 : printf(" %s", entry);
    }
    printf("\n");
}

static void
search_table(void)
{
    uint64_t seed = 1;
    uint8_t slots[512];

    for (long tries = 0; tries < 20 * 1000 * 1000; tries++) {
        uint32_t multiplier;

        seed = seed * 6364136223846793005u + 1442695040888963407u;
        multiplier = (uint32_t)(seed >> 32) | 1;
        if (fill_slots(multiplier, slots)) {
            print_table(multiplier, slots);
            return;
        }
    }
    printf("\nno multiplier found: let key_of() here and hash() in header.c use other letters\n");
}

static void
recognises_every_well_known_name(void)
{
    bool is_whole = true;

    for (unsigned id = 1; id < FIELD_ID_COUNT; id++)
        is_whole = is_whole && field_id_of(field_name(id)) == id;
    CU_ASSERT_TRUE(is_whole);
    if (!is_whole)
        search_table();
}

/* RFC 9110 section 5.1: field names are case-insensitive. */
static void
recognises_names_whatever_their_case(void)
{
    for (unsigned id = 1; id < FIELD_ID_COUNT; id++) {
        struct slice name = field_name(id);
        char upper[64], lower[64];

        for (size_t i = 0; i < name.bytes; i++) {
            upper[i] = (char)toupper((unsigned char)name.data[i]);
            lower[i] = (char)tolower((unsigned char)name.data[i]);
        }
        CU_ASSERT_EQUAL(field_id_of(slice_make(upper, name.bytes)), id);
        CU_ASSERT_EQUAL(field_id_of(slice_make(lower, name.bytes)), id);
    }
}

/* Case is forgiven for letters only: bit 5 of any other byte counts. */
static void
takes_no_near_miss_for_a_well_known_name(void)
{
    for (unsigned id = 1; id < FIELD_ID_COUNT; id++) {
        struct slice name = field_name(id);
        char near_miss[64];

        memcpy(near_miss, name.data, name.bytes);
        for (size_t i = 0; i < name.bytes; i++) {
            for (unsigned c = 0; c < 256; c++) {
                near_miss[i] = (char)c;
                if (c < 128 && tolower((int)c) == tolower((unsigned char)name.data[i]))
                    continue;
                CU_ASSERT_EQUAL(field_id_of(slice_make(near_miss, name.bytes)) == id, false);
            }
            near_miss[i] = name.data[i];
        }
        CU_ASSERT_NOT_EQUAL(field_id_of(slice_make(name.data, name.bytes - 1)), id);
    }
    CU_ASSERT_EQUAL(field_id_of(SLICE("")), FIELD_OTHER);
    CU_ASSERT_EQUAL(field_id_of(SLICE("T")), FIELD_OTHER);
    CU_ASSERT_EQUAL(field_id_of(SLICE("Content-Lengths")), FIELD_OTHER);
    CU_ASSERT_EQUAL(field_id_of(SLICE("Content_Length")), FIELD_OTHER);
}

/* header_names.h promises both; the look-up depends on the second. */
static void
lists_names_in_order_and_of_plain_letters(void)
{
    for (unsigned id = 1; id < FIELD_ID_COUNT; id++) {
        struct slice name = field_name(id);

        CU_ASSERT_TRUE(name.bytes >= 2 && name.bytes < 64);
        if (id > 1)
            CU_ASSERT_TRUE(strcasecmp(field_name(id - 1).data, name.data) < 0);
        for (size_t i = 0; i < name.bytes; i++)
            CU_ASSERT_TRUE(isalnum((unsigned char)name.data[i]) || name.data[i] == '-');
    }
}

/* RFC 9110 section 5.3: the order of lines with one name matters. */
static void
keeps_lines_in_the_order_received(void)
{
    struct fields fields = make((const char *const[][2]){
        { "Via", "1.0 a" }, { "X-Own", "1" }, { "via", "1.1 b" }, { "x-own", "2" },
        { NULL, NULL } });
    const struct field *via = fields_find(&fields, FIELD_VIA);

    CU_ASSERT_TRUE(is_value(via->value, "1.0 a"));
    via = fields_next(&fields, FIELD_VIA, via);
    CU_ASSERT_TRUE(is_value(via->value, "1.1 b"));
    CU_ASSERT_PTR_NULL(fields_next(&fields, FIELD_VIA, via));
    CU_ASSERT_TRUE(is_value(fields_get(&fields, FIELD_VIA), "1.0 a"));
    CU_ASSERT_PTR_NULL(fields_get(&fields, FIELD_HOST).data);
    CU_ASSERT_TRUE(is_value(fields_find_name(&fields, SLICE("X-OWN"))->value, "1"));
    CU_ASSERT_TRUE(is_value(fields_find_name(&fields, SLICE("VIA"))->value, "1.0 a"));
    CU_ASSERT_PTR_NULL(fields_find_name(&fields, SLICE("X-Other")));
}

/* RFC 9110 section 5.2. */
static void
joins_lines_of_one_name(void)
{
    struct fields fields = make((const char *const[][2]){
        { "Via", "a" }, { "Vary", "x" }, { "Via", "" }, { "Via", "b" }, { NULL, NULL } });

    CU_ASSERT_TRUE(is_value(fields_joined(&fields, FIELD_VIA, &arena), "a, , b"));
    CU_ASSERT_TRUE(is_value(fields_joined(&fields, FIELD_VARY, &arena), "x"));
    CU_ASSERT_PTR_NULL(fields_joined(&fields, FIELD_HOST, &arena).data);
}

static void
replaces_all_lines_by_one_in_the_first_place(void)
{
    struct fields fields = make((const char *const[][2]){
        { "Via", "a" }, { "X-Own", "1" }, { "Via", "b" }, { "X-OWN", "2" }, { NULL, NULL } });

    fields_set(&fields, &arena, FIELD_VIA, SLICE("c"));
    fields_set_name(&fields, &arena, SLICE("x-own"), SLICE("3"));
    fields_set(&fields, &arena, FIELD_HOST, SLICE("h"));
    CU_ASSERT_STRING_EQUAL(names_of(&fields), "Via|x-own|Host");
    CU_ASSERT_TRUE(is_value(fields_get(&fields, FIELD_VIA), "c"));
    CU_ASSERT_TRUE(is_value(fields_find_name(&fields, SLICE("X-Own"))->value, "3"));
}

static void
removes_lines_and_counts_them(void)
{
    struct fields fields = make((const char *const[][2]){
        { "Via", "a" }, { "X-Own", "1" }, { "Via", "b" }, { "X-Two", "2" }, { NULL, NULL } });

    CU_ASSERT_EQUAL(fields_remove(&fields, FIELD_VIA), 2);
    CU_ASSERT_EQUAL(fields_remove(&fields, FIELD_VIA), 0);
    CU_ASSERT_FALSE(fields_has(&fields, FIELD_VIA));
    CU_ASSERT_EQUAL(fields_remove_name(&fields, SLICE("x-OWN")), 1);
    CU_ASSERT_EQUAL(fields_remove_name(&fields, SLICE("X-None")), 0);
    CU_ASSERT_STRING_EQUAL(names_of(&fields), "X-Two");
}

static void
grows_beyond_its_first_room(void)
{
    struct fields fields = { 0 };

    for (int i = 0; i < 1000; i++)
        fields_add_name(&fields, &arena, SLICE("X-Own"), arena_printf(&arena, "%d", i));
    CU_ASSERT_EQUAL(fields.count, 1000);
    CU_ASSERT_TRUE(is_value(fields.items[999].value, "999"));
    CU_ASSERT_TRUE(is_value(fields.items[23].value, "23"));
}

static void
adds_nothing_when_the_arena_is_spent(void)
{
    struct fields fields = { 0 };
    struct arena small;

    arena_init(&small, NULL, 16);
    fields_add(&fields, &small, FIELD_HOST, SLICE("h"));
    CU_ASSERT_TRUE(arena_is_spent(&small));
    CU_ASSERT_EQUAL(fields.count, 0);
    CU_ASSERT_FALSE(fields_has(&fields, FIELD_HOST));
    arena_fini(&small);
}

/* RFC 9110 section 7.6.1. */
static void
removes_hop_by_hop_and_nominated_fields(void)
{
    struct fields fields = make((const char *const[][2]){
        { "X-One", "1" }, { "Connection", "close, x-one , ,X-Two" }, { "TE", "trailers" },
        { "Accept", "*" }, { "X-Two", "2" }, { "Keep-Alive", "5" }, { "X-Three", "3" },
        { "Connection", "dnt" }, { "DNT", "1" }, { "Proxy-Connection", "x" }, { "Upgrade", "h2c" },
        { "Transfer-Encoding", "chunked" }, { NULL, NULL } });

    fields_remove_hop_by_hop(&fields);
    CU_ASSERT_STRING_EQUAL(names_of(&fields), "Accept|X-Three");
    CU_ASSERT_FALSE(fields_has(&fields, FIELD_CONNECTION));
}

/* RFC 9110 section 7.6.1: what is meant for all recipients is no connection
 * option; a client could strip what a proxy before us relies on. */
static void
keeps_what_may_never_be_nominated(void)
{
    struct fields fields = make((const char *const[][2]){
        { "Connection", "Host, Content-Length, Authorization, Cookie" },
        { "Connection", "Cache-Control, X-Forwarded-For" }, { "Host", "h" },
        { "Content-Length", "1" }, { "Authorization", "a" }, { "Cookie", "c" },
        { "Cache-Control", "no-store" }, { "X-Forwarded-For", "::1" }, { NULL, NULL } });

    fields_remove_hop_by_hop(&fields);
    CU_ASSERT_STRING_EQUAL(names_of(&fields),
        "Host|Content-Length|Authorization|Cookie|Cache-Control|X-Forwarded-For");
}

/* RFC 9110 section 7.6.1: what came hop-by-hop is not written; what we add is. */
static void
tells_its_own_hop_from_others(void)
{
    struct fields fields = { 0 };
    struct arena own;

    arena_init(&own, NULL, 4096);
    fields_add(&fields, &own, FIELD_PROXY_AUTHENTICATE, SLICE("Basic"));
    fields_add_hop(&fields, &own, FIELD_PROXY_AUTHENTICATE, SLICE("Basic"));
    CU_ASSERT_EQUAL_FATAL(fields.count, 2);
    CU_ASSERT_TRUE(fields.items[0].flags & FIELD_HOP);
    CU_ASSERT_FALSE(fields.items[1].flags & FIELD_HOP);
    arena_fini(&own);
    fields = (struct fields){ 0 };
    arena_init(&own, NULL, 8); /* no room: nothing is added, or touched */
    fields_add_hop(&fields, &own, FIELD_PROXY_AUTHENTICATE, SLICE("Basic"));
    CU_ASSERT_EQUAL(fields.count, 0);
    CU_ASSERT_TRUE(arena_is_spent(&own));
    arena_fini(&own);
}

void
suite_header(void)
{
    CU_pSuite s = CU_add_suite("header", begin, end);

    CU_add_test(s, "recognises every well-known name", recognises_every_well_known_name);
    CU_add_test(s, "recognises names whatever their case", recognises_names_whatever_their_case);
    CU_add_test(s, "takes no near miss for a well-known name",
                takes_no_near_miss_for_a_well_known_name);
    CU_add_test(s, "lists names in order and of plain letters",
                lists_names_in_order_and_of_plain_letters);
    CU_add_test(s, "keeps lines in the order received", keeps_lines_in_the_order_received);
    CU_add_test(s, "joins lines of one name", joins_lines_of_one_name);
    CU_add_test(s, "replaces all lines by one in the first place",
                replaces_all_lines_by_one_in_the_first_place);
    CU_add_test(s, "removes lines and counts them", removes_lines_and_counts_them);
    CU_add_test(s, "grows beyond its first room", grows_beyond_its_first_room);
    CU_add_test(s, "adds nothing when the arena is spent", adds_nothing_when_the_arena_is_spent);
    CU_add_test(s, "removes hop-by-hop and nominated fields",
                removes_hop_by_hop_and_nominated_fields);
    CU_add_test(s, "keeps what may never be nominated", keeps_what_may_never_be_nominated);
    CU_add_test(s, "tells hop-by-hop fields of our own from those that came",
                tells_its_own_hop_from_others);
}
