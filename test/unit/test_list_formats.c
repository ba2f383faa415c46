/* SPDX-License-Identifier: BSD-2-Clause */
/* test_list_formats.c - what the lines of each format put into a list, what they leave
 * out, and what is wrong with them.
 */
#include "config.h"

#include "server/policy/list_formats.h"
#include "server/policy/list_load.h"
#include "test/unit/suites.h"

#include <CUnit/CUnit.h>
#include <stdio.h>
#include <stdlib.h>

static struct list_content *content;
static struct err err;

static struct list_conf
conf_of(enum list_kind kind, enum list_format format)
{
    return (struct list_conf){ .name = "test", .kind = kind, .format = format,
                               .max_entries = 1000, .max_bad_lines = 2,
                               .max_expressions = 2 };
}

static int
load_by(const struct list_conf *conf, const char *text)
{
    err.text[0] = '\0';
    content = list_content_new(conf);
    content->may_except_above = conf->format == LIST_RPZ;
    if (list_load_bytes(content, conf, slice_of(text), "list.txt", &err) < 0)
        return -1;
    return list_content_seal(content);
}

static int
load(enum list_kind kind, enum list_format format, const char *text)
{
    struct list_conf conf = conf_of(kind, format);

    return load_by(&conf, text);
}

static void
drop(void)
{
    list_content_free(content);
    content = NULL;
}

static bool
has(const char *host)
{
    return list_content_has_host(content, slice_of(host), NULL);
}

static bool
has_ip(const char *text)
{
    struct ip ip;

    CU_ASSERT_FATAL(ip_parse(slice_of(text), &ip));
    return list_content_has_ip(content, &ip);
}

/* url: HOST/PATH?QUERY */
static bool
has_url(const char *url)
{
    const char *path = strchr(url, '/'), *query = strchr(url, '?');
    size_t path_bytes = query != NULL ? (size_t)(query - path) : strlen(path);

    return list_content_has_url(content, slice_make(url, (size_t)(path - url)),
                                slice_make(path, path_bytes),
                                slice_of(query != NULL ? query + 1 : NULL));
}

static bool
says(const char *words)
{
    return strstr(err.text, words) != NULL;
}

/* ---- plain */

static void
plain_lists_have_an_entry_on_a_line_and_comments(void)
{
    CU_ASSERT_EQUAL(load(LIST_DOMAINS, LIST_PLAIN,
                         "# a list\r\n\r\nexample.com\r\n  .b.example # why\n*.C.Example.\n"
                         "192.0.2.7\n[2001:DB8::1]\nlast.example"), 0);
    CU_ASSERT_EQUAL(content->entries, 6);
    CU_ASSERT(has("www.example.com") && has("example.com"));
    CU_ASSERT(has("b.example") && has("a.b.example"));
    CU_ASSERT(has("c.example") && has("x.c.example") && has("last.example"));
    CU_ASSERT(has("192.0.2.7") && has("2001:db8::1"));
    CU_ASSERT_FALSE(has("192.0.2.8"));
    CU_ASSERT_FALSE(has("2001:db8::2"));
    CU_ASSERT_FALSE(has("example"));
    drop();
}

static void
a_mark_of_utf8_in_front_does_not_count(void)
{
    CU_ASSERT_EQUAL(load(LIST_DOMAINS, LIST_AUTO, "\xef\xbb\xbf" "example.com\n"), 0);
    CU_ASSERT(has("example.com"));
    drop();
}

static void
says_what_is_wrong_with_a_domain(void)
{
    static const struct {
        const char *text, *words;
    } bad[] = {
        { "b\xc3\xbc" "cher.example\n", "is not ASCII: write the name as DNS has it" },
        { "http://example.com/x\n", "is a URL and no domain" },
        { "exa*mple.com\n", "has a \"*\" elsewhere than in front" },
        { "one two\n", "is more than one word" },
        { "1.2.3\n", "neither an address nor a domain" },
        { "a..b\n", "\"a..b\" is not a domain" },
        { "exam\x01ple.com\n", "\\x01" },
    };

    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        CU_ASSERT_EQUAL(load(LIST_DOMAINS, LIST_PLAIN, bad[i].text), -1);
        CU_ASSERT(strncmp(err.text, "list.txt:1: ", 12) == 0);
        CU_ASSERT(says(bad[i].words));
        drop();
    }
}

static void
a_few_bad_lines_are_passed_over_and_more_are_not(void)
{
    CU_ASSERT_EQUAL(load(LIST_DOMAINS, LIST_PLAIN,
                         "a.example\n???\nb.example\n!!!\nc.example\n"), 0);
    CU_ASSERT_EQUAL(content->entries, 3);
    drop();
    CU_ASSERT_EQUAL(load(LIST_DOMAINS, LIST_PLAIN,
                         "a.example\n???\nb.example\n!!!\nc.example\n,,,\nd.example\n"), -1);
    CU_ASSERT(strncmp(err.text, "list.txt:2: \"???\" is not a domain", 33) == 0);
    CU_ASSERT(says("3 lines make no sense, more than max_bad_lines"));
    drop();
}

/* As a server sends it for a list that is gone. */
static void
a_page_of_html_is_no_list(void)
{
    CU_ASSERT_EQUAL(load(LIST_DOMAINS, LIST_AUTO, "<html>\n<title>Not Found</title>\n"), -1);
    CU_ASSERT(says("list.txt:1: ") && says("; most lines of the file make no sense"));
    drop();
}

static void
a_list_may_not_have_more_entries_than_it_may(void)
{
    struct list_conf conf = conf_of(LIST_DOMAINS, LIST_PLAIN);

    conf.max_entries = 2;
    CU_ASSERT_EQUAL(load_by(&conf, "a.example\nb.example\na.example\nx.a.example\n"), 0);
    drop();
    CU_ASSERT_EQUAL(load_by(&conf, "a.example\nb.example\nc.example\n"), -1);
    CU_ASSERT(says("list.txt:3: the list has more entries than its max_entries, 2"));
    drop();
}

static void
a_line_that_is_too_long_is_a_bad_line(void)
{
    size_t bytes = 3 * LIST_LINE_BYTES_MAX;
    char *text = malloc(bytes + 32);

    memset(text, 'a', bytes);
    strcpy(text + bytes, "\nexample.com\nexample.net\n");
    CU_ASSERT_EQUAL(load(LIST_DOMAINS, LIST_PLAIN, text), 0);
    CU_ASSERT_EQUAL(content->entries, 2);
    CU_ASSERT(has("example.com"));
    drop();
    free(text);
}

/* ---- hosts */

static void
hosts_files_have_an_address_and_names(void)
{
    CU_ASSERT_EQUAL(load(LIST_DOMAINS, LIST_AUTO,
                         "# hosts\n127.0.0.1 localhost\n::1 ip6-localhost ip6-loopback\n"
                         "fe80::1%lo0 localhost\n255.255.255.255\tbroadcasthost\n"
                         "0.0.0.0 0.0.0.0\n0.0.0.0 ads.example  Track.Example # both\n"), 0);
    CU_ASSERT_EQUAL(content->entries, 2);
    CU_ASSERT(has("ads.example") && has("x.ads.example") && has("track.example"));
    CU_ASSERT_FALSE(has("localhost"));
    drop();
    CU_ASSERT_EQUAL(load(LIST_DOMAINS, LIST_HOSTS, "ads.example\n"), -1);
    CU_ASSERT(says("\"ads.example\" is not an address; a line of a hosts file"));
    drop();
}

/* ---- adblock */

static void
filter_lists_give_their_rules_for_domains(void)
{
    CU_ASSERT_EQUAL(load(LIST_DOMAINS, LIST_AUTO,
                         "[Adblock Plus 2.0]\n! Title: x\n||ads.example^\n"
                         "||track.example^$important\n"
                         "||third.example^$third-party\n||part.example/banner/\n||begin.\n"
                         "##.banner\nexample.com##.ad\n/regex/\n&adserver=\n"
                         "|http://x.example|\n"
                         "||*.wild.example^\n||a*b.example^\n@@||good.ads.example^\n"
                         "@@||spared.example^$generichide\n||spared.example^\n"), 0);
    CU_ASSERT(has("ads.example") && has("x.ads.example") && has("track.example"));
    CU_ASSERT(has("wild.example") && has("spared.example"));
    CU_ASSERT_FALSE(has("good.ads.example"));
    CU_ASSERT_FALSE(has("x.good.ads.example"));
    CU_ASSERT_FALSE(has("third.example"));
    CU_ASSERT_FALSE(has("part.example"));
    CU_ASSERT_FALSE(has("x.example"));
    CU_ASSERT_FALSE(has("example.com"));
    drop();
}

/* An exception wins, also over a rule for something below it. */
static void
exceptions_of_filter_lists_win(void)
{
    CU_ASSERT_EQUAL(load(LIST_DOMAINS, LIST_ADBLOCK,
                         "@@||example.com^\n||ads.example.com^\n||example.net^\n"), 0);
    CU_ASSERT_FALSE(has("ads.example.com"));
    CU_ASSERT(has("example.net"));
    drop();
}

static void
filter_lists_give_urls_too(void)
{
    CU_ASSERT_EQUAL(load(LIST_URLS, LIST_ADBLOCK, "||example.com/banner/*\n||ads.example^\n"), 0);
    CU_ASSERT(has_url("www.example.com/banner/1.gif"));
    CU_ASSERT_FALSE(has_url("example.com/ban"));
    CU_ASSERT(has_url("ads.example/"));
    drop();
}

/* ---- zones */

static void
zones_give_what_their_names_trigger(void)
{
    CU_ASSERT_EQUAL(load(LIST_DOMAINS, LIST_AUTO,
                         "$TTL 60\n$ORIGIN rpz.example.\n"
                         "@ IN SOA ns.example. root.example. (\n  1 ; serial\n  2 3 4 5 )\n"
                         "  NS ns.example.\n"
                         "bad.test\tCNAME .\n*.bad.test\t60 IN CNAME .\n"
                         "Nodata.test.rpz.example. CNAME *.\n"
                         "good.bad.test CNAME rpz-passthru.\nworse.good.bad.test CNAME .\n"
                         "old.bad.test CNAME old.bad.test.\n"
                         "walled.test A 192.0.2.1\n  TXT \"a ; b ( c\"\n"
                         "tcp.test CNAME rpz-tcp-only.\n"
                         "32.1.2.0.192.rpz-ip CNAME .\nns.evil.test.rpz-nsdname CNAME .\n"), 0);
    CU_ASSERT(has("bad.test") && has("x.bad.test") && has("nodata.test") && has("walled.test"));
    CU_ASSERT_FALSE(has("good.bad.test"));
    CU_ASSERT_FALSE(has("x.good.bad.test"));
    CU_ASSERT(has("worse.good.bad.test"));
    CU_ASSERT_FALSE(has("old.bad.test"));
    CU_ASSERT_FALSE(has("tcp.test"));
    CU_ASSERT_FALSE(has("192.rpz-ip"));
    CU_ASSERT_FALSE(has("evil.test"));
    CU_ASSERT_FALSE(has("rpz.example"));
    CU_ASSERT_FALSE(has("example"));
    drop();
}

/* Without $ORIGIN, as a name server's configuration names the zone; and as dig prints a
 * transfer. */
static void
zones_may_leave_out_their_name_or_say_it_everywhere(void)
{
    CU_ASSERT_EQUAL(load(LIST_DOMAINS, LIST_RPZ,
                         "@ SOA a. b. 1 2 3 4 5\n@ NS a.\nbad.test CNAME .\n"), 0);
    CU_ASSERT(has("bad.test"));
    CU_ASSERT_EQUAL(content->entries, 1);
    drop();
    CU_ASSERT_EQUAL(load(LIST_DOMAINS, LIST_AUTO,
                         "; <<>> dig\nrpz.local.\t60\tIN\tSOA\ta. b. 1 2 3 4 5\n"
                         "bad.test.rpz.local.\t60\tIN\tCNAME\t.\n"), 0);
    CU_ASSERT(has("bad.test"));
    CU_ASSERT_FALSE(has("rpz.local"));
    drop();
}

static void
says_what_is_wrong_with_a_record(void)
{
    static const struct {
        const char *text, *words;
    } bad[] = {
        { "$INCLUDE other\n", "$ORIGIN and $TTL are" },
        { "  CNAME .\n", "belongs to no name" },
        { "a.test\n", "has no type" },
        { "a\\.b.test CNAME .\n", "has an escape" },
    };

    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        CU_ASSERT_EQUAL(load(LIST_DOMAINS, LIST_RPZ, bad[i].text), -1);
        CU_ASSERT(says(bad[i].words));
        drop();
    }
}

/* ---- networks */

static void
networks_may_have_remarks(void)
{
    CU_ASSERT_EQUAL(load(LIST_NETWORKS, LIST_AUTO,
                         "; drop list\n192.0.2.0/24 ; SBL1\n198.51.100.7 # one\n"
                         "2001:db8::/32\n"), 0);
    CU_ASSERT_EQUAL(content->entries, 3);
    CU_ASSERT(has_ip("192.0.2.9") && has_ip("198.51.100.7") && has_ip("2001:db8::1"));
    CU_ASSERT_FALSE(has_ip("198.51.100.8"));
    drop();
    CU_ASSERT_EQUAL(load(LIST_NETWORKS, LIST_PLAIN, "192.0.2.1/24\n"), -1);
    CU_ASSERT(says("the network is \"192.0.2.0/24\""));
    drop();
}

/* ---- URLs */

static void
urls_are_beginnings_that_end_where_a_segment_does(void)
{
    CU_ASSERT_EQUAL(load(LIST_URLS, LIST_AUTO,
                         "example.com/ads\nhttps://Example.net/a/b/\nwhole.example\n"
                         "q.example/view?id=7\nexample.org/%61/../b\nexample.edu/x/*\n"), 0);
    CU_ASSERT(has_url("example.com/ads") && has_url("www.example.com/ads/x.gif"));
    CU_ASSERT(has_url("example.com/ads?x=1"));
    CU_ASSERT_FALSE(has_url("example.com/adsense"));
    CU_ASSERT_FALSE(has_url("example.com/x/ads"));
    CU_ASSERT_FALSE(has_url("example.com/"));
    CU_ASSERT(has_url("example.net/a/b") && has_url("example.net/a/b/c/d"));
    CU_ASSERT_FALSE(has_url("example.net/a"));
    CU_ASSERT(has_url("whole.example/") && has_url("x.whole.example/y"));
    CU_ASSERT(has("whole.example"));
    CU_ASSERT_FALSE(has("example.com"));
    CU_ASSERT(has_url("q.example/view?id=7") && has_url("q.example/view?id=7&page=2"));
    CU_ASSERT_FALSE(has_url("q.example/view?id=77"));
    CU_ASSERT_FALSE(has_url("q.example/view"));
    CU_ASSERT_FALSE(has_url("q.example/view/x?id=7"));
    CU_ASSERT(has_url("example.org/b/c"));
    CU_ASSERT(has_url("example.edu/x/y"));
    drop();
}

static void
expressions_are_searched_for_in_the_whole_url(void)
{
    CU_ASSERT_EQUAL(load(LIST_URLS, LIST_PLAIN, "/^ad[0-9]+\\..*\\/Banner/\n"), 0);
    CU_ASSERT(has_url("ad7.example/x/banner.gif"));
    CU_ASSERT_FALSE(has_url("bad7.example/x/banner.gif"));
    drop();
    CU_ASSERT_EQUAL(load(LIST_URLS, LIST_PLAIN, "/a(b/\n"), -1);
    CU_ASSERT(says("list.txt:1: the expression"));
    drop();
}

static void
a_list_may_not_have_more_expressions_than_it_may(void)
{
    CU_ASSERT_EQUAL(load(LIST_URLS, LIST_PLAIN, "/a/\n/b/\nexample.com/c\n"), 0);
    CU_ASSERT_EQUAL(content->entries, 3);
    drop();
    CU_ASSERT_EQUAL(load(LIST_URLS, LIST_PLAIN, "/a/\n/b/\n/c/\n"), -1);
    CU_ASSERT(says("list.txt:3: the list has more expressions than its max_expressions, 2"));
    drop();
}

/* What is behind the zero would be lost: another expression than was meant. */
static void
an_expression_with_a_zero_in_it_is_a_bad_line(void)
{
    static const char text[] = "/a\0[0-9]/\nexample.com/x\n";
    const struct list_conf conf = conf_of(LIST_URLS, LIST_PLAIN);

    content = list_content_new(&conf);
    CU_ASSERT_EQUAL(list_load_bytes(content, &conf, slice_make(text, sizeof(text) - 1), "list.txt",
                                    &err), 0);
    CU_ASSERT_EQUAL(content->entries, 1);
    drop();
}

/* An expression may not hold a thread, and who makes it try does not get past it. */
static void
an_expression_that_takes_too_long_counts_as_found(void)
{
    static char url[400] = "x.example/";

    CU_ASSERT_EQUAL(load(LIST_URLS, LIST_PLAIN, "/(a+)+[0-9]$/\n"), 0);
    memset(url + 10, 'a', sizeof(url) - 12);
    url[sizeof(url) - 2] = 'c';
    CU_ASSERT(has_url(url));
    drop();
}

static void
says_what_is_wrong_with_a_url(void)
{
    static const struct {
        const char *text, *words;
    } bad[] = {
        { "example.com:8080/x\n", "names a port" },
        { "example.com/x#y\n", "has a fragment" },
        { "example.com/%zz\n", "is not the path of a URL" },
        { "exa mple.com/x\n", "more than one word" },
    };

    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        CU_ASSERT_EQUAL(load(LIST_URLS, LIST_PLAIN, bad[i].text), -1);
        CU_ASSERT(says(bad[i].words));
        drop();
    }
}

void
suite_list_formats(void)
{
    CU_pSuite s = CU_add_suite("list_formats", NULL, NULL);

    CU_add_test(s, "plain lists have an entry on a line, and comments",
                plain_lists_have_an_entry_on_a_line_and_comments);
    CU_add_test(s, "a mark of UTF-8 in front does not count",
                a_mark_of_utf8_in_front_does_not_count);
    CU_add_test(s, "says what is wrong with a domain", says_what_is_wrong_with_a_domain);
    CU_add_test(s, "a few bad lines are passed over, and more are not",
                a_few_bad_lines_are_passed_over_and_more_are_not);
    CU_add_test(s, "a page of HTML is no list", a_page_of_html_is_no_list);
    CU_add_test(s, "a list may not have more entries than it may",
                a_list_may_not_have_more_entries_than_it_may);
    CU_add_test(s, "a line that is too long is a bad line", a_line_that_is_too_long_is_a_bad_line);
    CU_add_test(s, "hosts files have an address and names", hosts_files_have_an_address_and_names);
    CU_add_test(s, "filter lists give their rules for domains",
                filter_lists_give_their_rules_for_domains);
    CU_add_test(s, "exceptions of filter lists win", exceptions_of_filter_lists_win);
    CU_add_test(s, "filter lists give URLs, too", filter_lists_give_urls_too);
    CU_add_test(s, "zones give what their names trigger", zones_give_what_their_names_trigger);
    CU_add_test(s, "zones may leave out their name, or say it everywhere",
                zones_may_leave_out_their_name_or_say_it_everywhere);
    CU_add_test(s, "says what is wrong with a record", says_what_is_wrong_with_a_record);
    CU_add_test(s, "networks may have remarks", networks_may_have_remarks);
    CU_add_test(s, "URLs are beginnings that end where a segment does",
                urls_are_beginnings_that_end_where_a_segment_does);
    CU_add_test(s, "expressions are searched for in the whole URL",
                expressions_are_searched_for_in_the_whole_url);
    CU_add_test(s, "a list may not have more expressions than it may",
                a_list_may_not_have_more_expressions_than_it_may);
    CU_add_test(s, "an expression with a zero in it is a bad line",
                an_expression_with_a_zero_in_it_is_a_bad_line);
    CU_add_test(s, "an expression that takes too long counts as found",
                an_expression_that_takes_too_long_counts_as_found);
    CU_add_test(s, "says what is wrong with a URL", says_what_is_wrong_with_a_url);
}
