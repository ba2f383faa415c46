/* SPDX-License-Identifier: BSD-2-Clause */
/* test_rewrite.c - promises of filters/rewrite.h: replacing and inserting, however content is
 * cut.
 */
#include "config.h"

#include "filters/rewrite_inside.h"

#include "test/unit/content_fixture.h"
#include "test/unit/filter_fixture.h"
#include "test/unit/suites.h"

#define OUT_BYTES 64u /* so that texts are longer than there is room for at once */

/* ---- layers over scripted content */

struct layer {
    struct transform transform;
    struct rewrite_replacer replacer;
    struct rewrite_inserter inserter;
    bool must_end;
};

static struct layer layer;

static enum transform_result
replace(struct transform *transform, struct transform_step *step)
{
    struct layer *l = container_of(transform, struct layer, transform);

    return rewrite_replacer_work(&l->replacer, l->must_end, step);
}

static void
release(struct transform *transform)
{
    rewrite_replacer_fini(&container_of(transform, struct layer, transform)->replacer);
}

static enum transform_result
insert(struct transform *transform, struct transform_step *step)
{
    return rewrite_inserter_work(&container_of(transform, struct layer, transform)->inserter, step);
}

static const struct transform_ops replace_ops = { replace, release };
static const struct transform_ops insert_ops = { insert, NULL };

static struct rewrite_rules *rules;

static void
make_rules(struct rewrite_rule_conf *confs, size_t count, size_t max_match)
{
    struct rewrite_rule_conf *pointers[16];
    struct err err = { .text = "" };

    for (size_t i = 0; i < count; i++)
        pointers[i] = &confs[i];
    rules = rewrite_rules_new(pointers, count, max_match, &conf_arena, &err);
    if (rules == NULL)
        printf("%s\n", err.text);
    CU_ASSERT_PTR_NOT_NULL_FATAL(rules);
}

#define RULES(max_match, ...)                                                                      \
    do {                                                                                           \
        struct rewrite_rule_conf confs_[] = { __VA_ARGS__ };                                       \
        make_rules(confs_, ARRAY_COUNT(confs_), max_match);                                        \
    } while (false)

static bool
is_replaced_by(const char *in, size_t bytes, const char *out, size_t step)
{
    bool is_right;

    content_begin();
    content.waits = step < 4;
    content_script(in, bytes, step);
    layer = (struct layer){ .must_end = false };
    CU_ASSERT_EQUAL_FATAL(rewrite_replacer_init(&layer.replacer, rules, UINT64_MAX,
                                                &content.ex.arena), 0);
    content_run(transform_begin(&layer.transform, &content.ex, &content.source, &replace_ops,
                                OUT_BYTES, TRANSFORM_NO_FLUSH), step % 3);
    is_right = content.result == PUMP_DONE && content_is(out, strlen(out));
    if (!is_right)
        printf("step %zu: %.*s\n", step, (int)content.out_bytes, content.out);
    content_finish();
    return is_right;
}

/* Whether it becomes out, cut at every place. */
static bool
is_replaced(const char *in, const char *out)
{
    for (size_t step = 1; step <= strlen(in) + 1; step++)
        if (!is_replaced_by(in, strlen(in), out, step))
            return false;
    return true;
}

/* ---- replacing */

static void
replaces_literals(void)
{
    RULES(64, { .find = "needle", .with = "pin" });
    CU_ASSERT_TRUE(is_replaced("", ""));
    CU_ASSERT_TRUE(is_replaced("needle", "pin"));
    CU_ASSERT_TRUE(is_replaced("a needle, needneedleneedlneedle", "a pin, needpinneedlpin"));
    CU_ASSERT_TRUE(is_replaced("Needle needl", "Needle needl"));
    RULES(64, { .find = "x" });
    CU_ASSERT_TRUE(is_replaced("xaxxbx", "ab"));
}

static void
the_first_rule_counts_where_several_match(void)
{
    RULES(64, { .find = "ab", .with = "1" }, { .find = "abcd", .with = "2" },
          { .find = "bc", .with = "3" });
    CU_ASSERT_TRUE(is_replaced("abcd bcd ab", "1cd 3d 1"));
    RULES(64, { .find = "abcd", .with = "2" }, { .find = "ab", .with = "1" });
    CU_ASSERT_TRUE(is_replaced("abcd abce abc", "2 1ce 1c"));
    RULES(64, { .regex = "ab+", .with = "r" }, { .find = "abb", .with = "l" });
    CU_ASSERT_TRUE(is_replaced("abbb", "r"));
    RULES(64, { .find = "abb", .with = "l" }, { .regex = "ab+", .with = "r" });
    CU_ASSERT_TRUE(is_replaced("abbb ab", "lb r"));
}

static void
what_was_put_there_is_not_searched_again(void)
{
    RULES(64, { .find = "a", .with = "ab" }, { .find = "b", .with = "a" });
    CU_ASSERT_TRUE(is_replaced("aabb", "ababaa"));
}

static void
ignores_case_where_told(void)
{
    RULES(64, { .find = "SeCret", .with = "x", .ignore_case = true },
          { .find = "Plain", .with = "y" }, { .find = "plain", .with = "z" },
          { .regex = "r[0-9]", .with = "R", .ignore_case = true });
    CU_ASSERT_TRUE(is_replaced("SECRET secret Plain plain PLAIN R2", "x x y z PLAIN R"));
}

static void
puts_groups_where_they_are_named(void)
{
    RULES(256, { .regex = "(\\w+)@(\\w+)(!)?", .with = "\\2 at \\1\\3 \\\\ \\0;" });
    CU_ASSERT_TRUE(is_replaced("me@home, you@there!", "home at me \\ me@home;, there at you! \\ "
                                                      "you@there!;"));
}

/* Whatever is before or behind decides, wherever content is cut. */
static void
expressions_look_back_and_ahead(void)
{
    RULES(64, { .regex = "(?<=price: )\\d+(?= EUR)", .with = "N" });
    CU_ASSERT_TRUE(is_replaced("price: 100 EUR, price: 7 USD, 9 EUR",
                               "price: N EUR, price: 7 USD, 9 EUR"));
    RULES(64, { .regex = "\\bcat\\b", .with = "dog" });
    CU_ASSERT_TRUE(is_replaced("cat concat cats cat", "dog concat cats dog"));
    RULES(64, { .regex = "(?<!x)y", .with = "z" });
    CU_ASSERT_TRUE(is_replaced("yxyyxy", "zxyzxy"));
}

static void
anchors_are_of_the_content_not_of_its_pieces(void)
{
    RULES(64, { .regex = "^a", .with = "A" }, { .regex = "b$", .with = "B" });
    CU_ASSERT_TRUE(is_replaced("aaab\nab", "Aaab\naB"));
    RULES(64, { .regex = "(?m)^a", .with = "A" }, { .regex = "(?m)b$", .with = "B" });
    CU_ASSERT_TRUE(is_replaced("aaab\nab", "AaaB\nAB"));
    RULES(64, { .regex = "\\A..", .with = "-" });
    CU_ASSERT_TRUE(is_replaced("abcdefgh", "-cdefgh"));
}

/* max_match: what is longer is no match, and that too however it is cut. */
static void
matches_are_as_long_as_allowed(void)
{
    RULES(16, { .regex = "<[^>]*>", .with = "-" });
    CU_ASSERT_TRUE(is_replaced("<45678901234567>", "-"));
    CU_ASSERT_TRUE(is_replaced("<456789012345678> <a>", "<456789012345678> -"));
    CU_ASSERT_TRUE(is_replaced("<<<<<<<<<<<<<<<<<<<<<<<<<<>", "<<<<<<<<<<<-"));
    RULES(16, { .regex = "a+", .with = "-" });
    CU_ASSERT_TRUE(is_replaced("baaaaaaaaaaaaaaac", "b-c"));
}

static void
long_content_with_a_match_anywhere(void)
{
    static char text[40000], expected[40000];

    RULES(4096, { .find = "needle", .with = "n" }, { .regex = "[0-9]{6}", .with = "d" });
    for (size_t at = 8000; at < 30000; at += 997) {
        memset(text, 'e', sizeof(text) - 1);
        memcpy(text + at, "needle", 6);
        memcpy(text + at + 3000, "123456", 6);
        memset(expected, 'e', sizeof(expected) - 1);
        expected[at] = 'n';
        expected[at + 1 + 2994] = 'd';
        expected[sizeof(text) - 1 - 10] = '\0';
        CU_ASSERT_TRUE(is_replaced_by(text, sizeof(text) - 1, expected, 16384));
        CU_ASSERT_TRUE(is_replaced_by(text, sizeof(text) - 1, expected, 1499));
    }
}

/* What comes one byte at a time is not looked at again and again. */
static void
a_long_unsure_match_costs_little(void)
{
    static char text[60000];

    RULES(4096, { .regex = "<[^>]*>", .with = "-" });
    memset(text, 'e', sizeof(text) - 1);
    for (size_t at = 100; at < sizeof(text) - 1; at += 5000)
        text[at] = '<';
    CU_ASSERT_TRUE(is_replaced_by(text, sizeof(text) - 1, text, 1));
}

static void
hostile_expressions_stop_at_the_limit(void)
{
    static char text[20000];

    RULES(4096, { .regex = "(a+)+b", .with = "-" }, { .find = "end", .with = "END" });
    memset(text, 'a', sizeof(text) - 1);
    memcpy(text + 15000, "end", 3);
    content_begin();
    content_script(text, sizeof(text) - 1, 8192);
    layer = (struct layer){ .must_end = false };
    CU_ASSERT_EQUAL_FATAL(rewrite_replacer_init(&layer.replacer, rules, UINT64_MAX,
                                                &content.ex.arena), 0);
    content_run(transform_begin(&layer.transform, &content.ex, &content.source, &replace_ops,
                                OUT_BYTES, TRANSFORM_NO_FLUSH), 0);
    CU_ASSERT_EQUAL(content.result, PUMP_DONE);
    CU_ASSERT_TRUE(layer.replacer.has_limit);
    CU_ASSERT_EQUAL(content.out_bytes, sizeof(text) - 1);
    CU_ASSERT_EQUAL(memcmp(content.out + 15000, "END", 3), 0); /* literals go on */
    content_finish();

    content_begin();
    content_script(text, sizeof(text) - 1, 8192);
    layer = (struct layer){ .must_end = true };
    CU_ASSERT_EQUAL_FATAL(rewrite_replacer_init(&layer.replacer, rules, UINT64_MAX,
                                                &content.ex.arena), 0);
    content_run(transform_begin(&layer.transform, &content.ex, &content.source, &replace_ops,
                                OUT_BYTES, TRANSFORM_NO_FLUSH), 0);
    CU_ASSERT_EQUAL(content.result, PUMP_SOURCE_FAILED);
    content_finish();
}

static void
content_beyond_the_limit_passes(void)
{
    content_begin();
    RULES(64, { .find = "ab", .with = "-" });
    content_script("abababababab", 12, 5);
    layer = (struct layer){ .must_end = false };
    CU_ASSERT_EQUAL_FATAL(rewrite_replacer_init(&layer.replacer, rules, 7, &content.ex.arena), 0);
    content_run(transform_begin(&layer.transform, &content.ex, &content.source, &replace_ops,
                                OUT_BYTES, TRANSFORM_NO_FLUSH), 0);
    CU_ASSERT_TRUE(content_is("---ababab", 9));
    CU_ASSERT_TRUE(layer.replacer.has_limit);
    content_finish();

    content_begin(); /* exactly as long */
    content_script("ababab", 6, 4);
    layer = (struct layer){ .must_end = true };
    CU_ASSERT_EQUAL_FATAL(rewrite_replacer_init(&layer.replacer, rules, 6, &content.ex.arena), 0);
    content_run(transform_begin(&layer.transform, &content.ex, &content.source, &replace_ops,
                                OUT_BYTES, TRANSFORM_NO_FLUSH), 0);
    CU_ASSERT_EQUAL(content.result, PUMP_DONE);
    CU_ASSERT_TRUE(content_is("---", 3));
    CU_ASSERT_FALSE(layer.replacer.has_limit);
    content_finish();
}

/* A match of another rule at each byte makes an expression begin anew each time. */
static void
rules_that_match_at_each_byte_stop_expressions(void)
{
    static char text[65537];

    RULES(4096, { .find = "a", .with = "x" }, { .regex = "a+b", .with = "-" });
    memset(text, 'a', sizeof(text) - 1);
    content_begin();
    content_script(text, sizeof(text) - 1, 4096);
    layer = (struct layer){ .must_end = false };
    CU_ASSERT_EQUAL_FATAL(rewrite_replacer_init(&layer.replacer, rules, UINT64_MAX,
                                                &content.ex.arena), 0);
    content_run(transform_begin(&layer.transform, &content.ex, &content.source, &replace_ops,
                                16384, TRANSFORM_NO_FLUSH), 0);
    CU_ASSERT_TRUE(layer.replacer.has_limit);
    memset(text, 'x', sizeof(text) - 1);
    CU_ASSERT_TRUE(content_is(text, sizeof(text) - 1)); /* literals go on */
    content_finish();
}

static void
content_that_is_cut_short_stays_so(void)
{
    content_begin();
    RULES(64, { .find = "ab", .with = "-" });
    content.cuts = true;
    content_script("xxab", 4, 2);
    layer = (struct layer){ .must_end = false };
    CU_ASSERT_EQUAL_FATAL(rewrite_replacer_init(&layer.replacer, rules, UINT64_MAX,
                                                &content.ex.arena), 0);
    content_run(transform_begin(&layer.transform, &content.ex, &content.source, &replace_ops,
                                OUT_BYTES, TRANSFORM_NO_FLUSH), 0);
    CU_ASSERT_EQUAL(content.result, PUMP_SOURCE_FAILED);
    content_finish();
}

/* ---- inserting */

static bool
is_inserted(const char *in, const char *out)
{
    static const struct slice texts[HTML_PLACES] = {
        SLICE_INIT("{hb}"), SLICE_INIT("{he}"), SLICE_INIT("{bb}"), SLICE_INIT("{be}"),
    };

    for (size_t step = 1; step <= strlen(in) + 1; step++) {
        bool is_right;

        content_begin();
        content.waits = false;
        content_script(in, strlen(in), step);
        layer = (struct layer){ .must_end = false };
        rewrite_inserter_init(&layer.inserter, texts);
        content_run(transform_begin(&layer.transform, &content.ex, &content.source, &insert_ops,
                                    OUT_BYTES, TRANSFORM_NO_FLUSH), step % 3);
        is_right = content.result == PUMP_DONE && content_is(out, strlen(out));
        if (!is_right)
            printf("step %zu: %.*s\n", step, (int)content.out_bytes, content.out);
        content_finish();
        if (!is_right)
            return false;
    }
    return true;
}

static void
inserts_at_the_tags(void)
{
    CU_ASSERT_TRUE(is_inserted("<!DOCTYPE html><html><head><title>a</title></head><body><p>b</p>"
                               "</body></html>",
                               "<!DOCTYPE html><html><head>{hb}<title>a</title>{he}</head><body>"
                               "{bb}<p>b</p>{be}</body></html>"));
    CU_ASSERT_TRUE(is_inserted("<HTML>\n<HEAD id=x>\n</HEAD >\n<BODY class='a>b' data=\"<\">\nx"
                               "</BODY\n></HTML>",
                               "<HTML>\n<HEAD id=x>{hb}\n{he}</HEAD >\n<BODY class='a>b' "
                               "data=\"<\">{bb}\nx{be}</BODY\n></HTML>"));
    CU_ASSERT_TRUE(is_inserted("\xef\xbb\xbf<head></head><body></body>",
                               "\xef\xbb\xbf<head>{hb}{he}</head><body>{bb}{be}</body>"));
}

/* WHATWG HTML section 13.2.6.4: the tags that a browser adds. */
static void
inserts_where_browsers_add_missing_tags(void)
{
    CU_ASSERT_TRUE(is_inserted("<title>a</title><p>b", "{hb}<title>a</title>{he}{bb}<p>b{be}"));
    CU_ASSERT_TRUE(is_inserted("hello", "{hb}{he}{bb}hello{be}"));
    CU_ASSERT_TRUE(is_inserted(" <!-- c --> ", " <!-- c --> {hb}{he}{bb}{be}"));
    CU_ASSERT_TRUE(is_inserted("<html><body>x</html>", "<html>{hb}{he}<body>{bb}x{be}</html>"));
    CU_ASSERT_TRUE(is_inserted("<head><meta a></head><div>", "<head>{hb}<meta a>{he}</head>{bb}"
                                                              "<div>{be}"));
    CU_ASSERT_TRUE(is_inserted("<head>x", "<head>{hb}{he}{bb}x{be}"));
    CU_ASSERT_TRUE(is_inserted("<header>x</header>", "{hb}{he}{bb}<header>x</header>{be}"));
    CU_ASSERT_TRUE(is_inserted("<head></head><frameset></frameset>",
                               "<head>{hb}{he}</head><frameset></frameset>"));
    CU_ASSERT_TRUE(is_inserted("", ""));
    CU_ASSERT_TRUE(is_inserted("<", "{hb}{he}{bb}{be}<"));
    CU_ASSERT_TRUE(is_inserted("< body>", "{hb}{he}{bb}< body>{be}"));
}

static void
comments_are_not_tags(void)
{
    CU_ASSERT_TRUE(is_inserted("<!-- <head> --><head><!--></head--></head><body><!--></body>"
                               "</body>",
                               "<!-- <head> --><head>{hb}<!--></head-->{he}</head><body>{bb}"
                               "<!-->{be}</body></body>"));
    CU_ASSERT_TRUE(is_inserted("<head></head><body><!---></body>",
                               "<head>{hb}{he}</head><body>{bb}<!--->{be}</body>"));
    CU_ASSERT_TRUE(is_inserted("<head></head><body><!--!></body>--!></body>",
                               "<head>{hb}{he}</head><body>{bb}<!--!></body>--!>{be}</body>"));
    CU_ASSERT_TRUE(is_inserted("<?x <head>><!x<head>></ <head>><head>",
                               "<?x <head>{hb}{he}{bb}><!x<head>></ <head>><head>{be}"));
}

static void
raw_text_is_not_tags(void)
{
    CU_ASSERT_TRUE(is_inserted("<head><script>'</head>'</script><style>a:</head></style ></head>"
                               "<body><textarea></body></textarea><title></body></titlex></title/>"
                               "</body>",
                               "<head>{hb}<script>'</head>'</script><style>a:</head></style >{he}"
                               "</head><body>{bb}<textarea></body></textarea><title></body>"
                               "</titlex></title/>{be}</body>"));
    CU_ASSERT_TRUE(is_inserted("<body><SCRIPT><!-- <script></body></script></body>--></script>"
                               "</body>",
                               "{hb}{he}<body>{bb}<SCRIPT><!-- <script></body></script></body>-->"
                               "</script>{be}</body>"));
    CU_ASSERT_TRUE(is_inserted("<body><plaintext></body>",
                               "{hb}{he}<body>{bb}<plaintext></body>"));
    CU_ASSERT_TRUE(is_inserted("<head><template><body>x</body></template></head>",
                               "<head>{hb}<template><body>x</body></template>{he}</head>{bb}{be}"));
}

/* WHATWG HTML section 13.2.5.32 and on. */
static void
attributes_end_where_browsers_say(void)
{
    CU_ASSERT_TRUE(is_inserted("<body a=\"x>y\" b = '>' c=d\"e>x",
                               "{hb}{he}<body a=\"x>y\" b = '>' c=d\"e>{bb}x{be}"));
    CU_ASSERT_TRUE(is_inserted("<body \"x>y\">", "{hb}{he}<body \"x>{bb}y\">{be}"));
    CU_ASSERT_TRUE(is_inserted("<body =\"x>y\">", "{hb}{he}<body =\"x>{bb}y\">{be}"));
    CU_ASSERT_TRUE(is_inserted("<body/a=\"x>y\"/>z", "{hb}{he}<body/a=\"x>y\"/>{bb}z{be}"));
    CU_ASSERT_TRUE(is_inserted("<body a= >x", "{hb}{he}<body a= >{bb}x{be}"));
}

static void
wide_characters_pass(void)
{
    CU_ASSERT_TRUE(is_inserted("\xff\xfe<\1b\1", "\xff\xfe<\1b\1"));
    RULES(64, { .find = "b", .with = "cc" });
    CU_ASSERT_TRUE(is_replaced("\xfe\xff\1b\1", "\xfe\xff\1b\1"));
}

/* What is put there would belong to them. */
static void
nothing_is_inserted_in_a_tag_or_comment_without_end(void)
{
    CU_ASSERT_TRUE(is_inserted("<img alt=\"x", "{hb}{he}{bb}<img alt=\"x"));
    CU_ASSERT_TRUE(is_inserted("<!-- x", "<!-- x"));
    CU_ASSERT_TRUE(is_inserted("<!doctype html", "<!doctype html"));
}

/* ---- options */

static void
says_what_is_wrong_with_options(void)
{
    CU_ASSERT_TRUE(is_filter_refused("filter = \"rewrite\";", "neither replace nor insert"));
    CU_ASSERT_TRUE(is_filter_refused("filter = \"rewrite\"; replace = ( { with = \"x\"; } );",
                                     "one of find and regex"));
    CU_ASSERT_TRUE(is_filter_refused("filter = \"rewrite\"; replace = ( { find = \"\"; } );",
                                     "expected 1 to 4096"));
    CU_ASSERT_TRUE(is_filter_refused("filter = \"rewrite\"; replace = ( { regex = \"(a\"; } );",
                                     "wrong at character"));
    CU_ASSERT_TRUE(is_filter_refused("filter = \"rewrite\"; "
                                     "replace = ( { regex = \"a\"; with = \"\\\\1\"; } );",
                                     "has 0 groups"));
    CU_ASSERT_TRUE(is_filter_refused("filter = \"rewrite\"; "
                                     "replace = ( { regex = \"a\\\\Kb\"; } );",
                                     "\\K and \\G"));
    CU_ASSERT_TRUE(is_filter_refused("filter = \"rewrite\"; replace = ( { find = \"a\"; } ); "
                                     "types = [ \"html\" ];", "no media type"));
    CU_ASSERT_TRUE(is_filter_refused("filter = \"rewrite\"; replace = ( { find = \"a\"; } ); "
                                     "fields = [ \"Content-Length\" ];", "fields"));
    CU_ASSERT_TRUE(is_filter_refused("filter = \"rewrite\"; "
                                     "insert = ( { at = \"head\"; text = \"\"; } );",
                                     "head_begin"));
}

static void
replaces_in_fields(void)
{
    const struct filter_conf *conf = filter_made(
        "filter = \"rewrite\"; fields = [ \"Location\", \"X-App\" ]; "
        "replace = ( { find = \"http://old/\"; with = \"/\"; }, { regex = \"v(\\\\d)\"; "
        "with = \"\\\\1\"; }, { find = \"bad\"; with = \"\\n\"; } );");
    struct exchange *ex = exchange_begin();
    void *state = arena_zalloc(&ex->arena, conf->ops->state_bytes);

    respond(ex, "Location", "http://old/v1/v2");
    respond(ex, "X-App", "bad");
    respond(ex, "X-Other", "v1");
    CU_ASSERT_EQUAL(conf->ops->deliver_head(conf, state, ex), FILTER_NEXT);
    CU_ASSERT_TRUE(is_field(&ex->response.fields, "Location", "/1/2"));
    CU_ASSERT_TRUE(is_field(&ex->response.fields, "X-App", "bad"));
    CU_ASSERT_TRUE(is_field(&ex->response.fields, "X-Other", "v1"));
    exchange_end(ex);
}

static void
asks_for_what_can_be_read(void)
{
    const struct filter_conf *conf = filter_made("filter = \"rewrite\"; "
                                                 "replace = ( { find = \"a\"; } );");
    struct exchange *ex = exchange_begin();
    void *state = arena_zalloc(&ex->arena, conf->ops->state_bytes);

    ask(ex, "Accept-Encoding", "sdch, gzip;q=0.5, *");
    ask(ex, "Range", "bytes=1-2");
    ask(ex, "If-Range", "\"x\"");
    CU_ASSERT_EQUAL(conf->ops->request_head(conf, state, ex), FILTER_NEXT);
    CU_ASSERT_TRUE(is_field(&ex->request.fields, "Accept-Encoding", "gzip;q=0.5"));
    CU_ASSERT_TRUE(is_field(&ex->request.fields, "Range", NULL));
    CU_ASSERT_TRUE(is_field(&ex->request.fields, "If-Range", NULL));
    exchange_end(ex);
}

void
suite_rewrite(void)
{
    CU_pSuite s = CU_add_suite("rewrite", fixture_set_up, fixture_tear_down);

    CU_add_test(s, "replaces literals", replaces_literals);
    CU_add_test(s, "the first rule counts where several match",
                the_first_rule_counts_where_several_match);
    CU_add_test(s, "what was put there is not searched again",
                what_was_put_there_is_not_searched_again);
    CU_add_test(s, "ignores case where told", ignores_case_where_told);
    CU_add_test(s, "puts groups where they are named", puts_groups_where_they_are_named);
    CU_add_test(s, "expressions look back and ahead", expressions_look_back_and_ahead);
    CU_add_test(s, "anchors are of the content, not of its pieces",
                anchors_are_of_the_content_not_of_its_pieces);
    CU_add_test(s, "matches are as long as allowed", matches_are_as_long_as_allowed);
    CU_add_test(s, "long content with a match anywhere", long_content_with_a_match_anywhere);
    CU_add_test(s, "a long unsure match costs little", a_long_unsure_match_costs_little);
    CU_add_test(s, "hostile expressions stop at the limit", hostile_expressions_stop_at_the_limit);
    CU_add_test(s, "rules that match at each byte stop expressions",
                rules_that_match_at_each_byte_stop_expressions);
    CU_add_test(s, "content beyond the limit passes", content_beyond_the_limit_passes);
    CU_add_test(s, "content that is cut short stays so", content_that_is_cut_short_stays_so);
    CU_add_test(s, "inserts at the tags", inserts_at_the_tags);
    CU_add_test(s, "inserts where browsers add missing tags",
                inserts_where_browsers_add_missing_tags);
    CU_add_test(s, "comments are not tags", comments_are_not_tags);
    CU_add_test(s, "raw text is not tags", raw_text_is_not_tags);
    CU_add_test(s, "attributes end where browsers say", attributes_end_where_browsers_say);
    CU_add_test(s, "wide characters pass", wide_characters_pass);
    CU_add_test(s, "nothing is inserted in a tag or comment without end",
                nothing_is_inserted_in_a_tag_or_comment_without_end);
    CU_add_test(s, "says what is wrong with options", says_what_is_wrong_with_options);
    CU_add_test(s, "replaces in fields", replaces_in_fields);
    CU_add_test(s, "asks for what can be read", asks_for_what_can_be_read);
}
