/* SPDX-License-Identifier: BSD-2-Clause */
/* test_hosts.c - the hosts file and resolv.conf are read as their manual pages say. */
#include "config.h"

#include "server/net/hosts.h"

#include <CUnit/CUnit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void suite_hosts(void);

static char path[] = "test_hosts.XXXXXX";

static int
make_file(void)
{
    int fd = mkstemp(path);

    return fd >= 0 ? close(fd) : -1;
}

static int
remove_file(void)
{
    int result = unlink(path);

    memcpy(path + strlen(path) - 6, "XXXXXX", 6);
    return result;
}

static void
write_bytes(const char *text, size_t bytes)
{
    FILE *file = fopen(path, "w");

    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(fwrite(text, 1, bytes, file), bytes);
    CU_ASSERT_EQUAL(fclose(file), 0);
}

static void
write_text(const char *text)
{
    write_bytes(text, strlen(text));
}

/* The addresses of name, in words. */
static const char *
find(const struct hosts *hosts, const char *name)
{
    static char text[512];
    struct ip ips[4];
    bool is_listed;
    unsigned count = hosts_find(hosts, slice_of(name), ips, 4, &is_listed);
    size_t used = 0;

    if (!is_listed)
        return "unlisted";
    text[0] = '\0';
    for (unsigned i = 0; i < count; i++) {
        char one[IP_TEXT_BYTES];

        ip_text(&ips[i], one);
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", i > 0 ? " " : "", one);
    }
    return text;
}

/* hosts(5): address, canonical name, aliases; '#' begins a comment. */
static void
finds_every_name_of_a_line(void)
{
    struct hosts *hosts;

    write_text("# comment 10.9.9.9 comment\n"
               "10.0.0.1\tOne.Example  one\talias.example. # trailing\r\n"
               "\n"
               "  2001:db8::1 one\n"
               "10.0.0.2 one two");
    hosts = hosts_new(path);
    CU_ASSERT_PTR_NOT_NULL_FATAL(hosts);
    CU_ASSERT_STRING_EQUAL(find(hosts, "one.example"), "10.0.0.1");
    CU_ASSERT_STRING_EQUAL(find(hosts, "alias.example"), "10.0.0.1");
    CU_ASSERT_STRING_EQUAL(find(hosts, "one"), "10.0.0.1 2001:db8::1 10.0.0.2");
    CU_ASSERT_STRING_EQUAL(find(hosts, "two"), "10.0.0.2");
    CU_ASSERT_STRING_EQUAL(find(hosts, "comment"), "unlisted");
    CU_ASSERT_STRING_EQUAL(find(hosts, "on"), "unlisted");
    CU_ASSERT_STRING_EQUAL(find(hosts, "one.example.org"), "unlisted");
    hosts_free(hosts);
}

static void
passes_over_what_it_cannot_read(void)
{
    static const char text[] = "nonsense name\n10.0.0.999 a\n10.0.0.1\nfe80::1%lo b\n\0\0 c\n"
                               "10.0.0.4 . d\n0x0a.1 e\n";
    struct hosts *hosts;

    write_bytes(text, sizeof(text) - 1);
    hosts = hosts_new(path);
    CU_ASSERT_PTR_NOT_NULL_FATAL(hosts);
    CU_ASSERT_STRING_EQUAL(find(hosts, "name"), "unlisted");
    CU_ASSERT_STRING_EQUAL(find(hosts, "a"), "unlisted");
    CU_ASSERT_STRING_EQUAL(find(hosts, "b"), "unlisted");
    CU_ASSERT_STRING_EQUAL(find(hosts, "c"), "unlisted");
    CU_ASSERT_STRING_EQUAL(find(hosts, "d"), "10.0.0.4");
    CU_ASSERT_STRING_EQUAL(find(hosts, "e"), "unlisted");
    hosts_free(hosts);
}

/* connect() to 0.0.0.0 reaches this machine; in a hosts file it says "no". */
static void
unspecified_addresses_say_no(void)
{
    struct hosts *hosts;

    write_text("0.0.0.0 ads.example\n:: ads.example half.example\n10.0.0.1 half.example\n");
    hosts = hosts_new(path);
    CU_ASSERT_PTR_NOT_NULL_FATAL(hosts);
    CU_ASSERT_STRING_EQUAL(find(hosts, "ads.example"), "");
    CU_ASSERT_STRING_EQUAL(find(hosts, "half.example"), "10.0.0.1");
    hosts_free(hosts);
}

static void
gives_no_more_addresses_than_asked_for(void)
{
    struct hosts *hosts;

    write_text("10.0.0.1 n\n10.0.0.2 n\n10.0.0.3 n\n10.0.0.4 n\n10.0.0.5 n\n10.0.0.6 n\n");
    hosts = hosts_new(path);
    CU_ASSERT_PTR_NOT_NULL_FATAL(hosts);
    CU_ASSERT_STRING_EQUAL(find(hosts, "n"), "10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4");
    hosts_free(hosts);
}

static void
notices_that_the_file_changed(void)
{
    struct hosts *hosts;

    write_text("10.0.0.1 n\n");
    hosts = hosts_new(path);
    CU_ASSERT_PTR_NOT_NULL_FATAL(hosts);
    CU_ASSERT_FALSE(hosts_refresh(hosts));
    write_text("10.0.0.2 n more\n");
    CU_ASSERT_TRUE(hosts_refresh(hosts));
    CU_ASSERT_STRING_EQUAL(find(hosts, "n"), "10.0.0.2");
    CU_ASSERT_FALSE(hosts_refresh(hosts));
    unlink(path);
    CU_ASSERT_TRUE(hosts_refresh(hosts));
    CU_ASSERT_STRING_EQUAL(find(hosts, "n"), "unlisted");
    write_text("10.0.0.3 n\n");
    CU_ASSERT_TRUE(hosts_refresh(hosts));
    CU_ASSERT_STRING_EQUAL(find(hosts, "n"), "10.0.0.3");
    hosts_free(hosts);
}

static void
a_missing_file_is_an_empty_table(void)
{
    struct hosts *hosts = hosts_new("no/such/file");

    CU_ASSERT_PTR_NOT_NULL_FATAL(hosts);
    CU_ASSERT_STRING_EQUAL(find(hosts, "n"), "unlisted");
    hosts_free(hosts);
    hosts = hosts_new(".");
    CU_ASSERT_PTR_NOT_NULL_FATAL(hosts);
    hosts_free(hosts);
}

/* A line cut in two would name another host, or another address. */
static void
an_endless_file_is_cut_at_a_line(void)
{
    FILE *file = fopen(path, "w");
    struct hosts *hosts;

    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fprintf(file, "10.0.0.1 first\n");
    for (unsigned i = 0; i < 60000; i++)
        fprintf(file, "10.0.0.2 name-%u.example\n", i);
    fprintf(file, "10.0.0.3 last\n");
    CU_ASSERT_TRUE_FATAL(ftell(file) > (long)HOSTS_FILE_MAX_BYTES);
    fclose(file);
    hosts = hosts_new(path);
    CU_ASSERT_PTR_NOT_NULL_FATAL(hosts);
    CU_ASSERT_STRING_EQUAL(find(hosts, "first"), "10.0.0.1");
    CU_ASSERT_STRING_EQUAL(find(hosts, "name-1000.example"), "10.0.0.2");
    CU_ASSERT_STRING_EQUAL(find(hosts, "last"), "unlisted");
    hosts_free(hosts);
}

/* resolv.conf(5) */
static void
reads_name_servers(void)
{
    struct name_servers servers;
    struct ip ip;

    write_text("; comment\n# nameserver 10.0.0.9\ndomain example.org\nsearch example.org\n"
               "nameserver 10.0.0.1\n nameserver\t2001:db8::1 # two\nnameserver fe80::1%eth0\n"
               "nameservers 10.0.0.8\nnameserver\noptions timeout:1\n");
    name_servers_read(&servers, path);
    CU_ASSERT_EQUAL_FATAL(servers.count, 2);
    CU_ASSERT_TRUE(ip_parse(SLICE("10.0.0.1"), &ip));
    CU_ASSERT_TRUE(ip_equal_host(&servers.ips[0], &ip));
    CU_ASSERT_EQUAL(servers.ips[0].port, 53);
    CU_ASSERT_TRUE(ip_parse(SLICE("2001:db8::1"), &ip));
    CU_ASSERT_TRUE(ip_equal_host(&servers.ips[1], &ip));
}

/* resolv.conf(5): "if no nameserver entries are present, the default is to use
 * the name server on the local machine". */
static void
the_local_name_server_is_the_default(void)
{
    struct name_servers servers;
    struct ip ip;

    CU_ASSERT_TRUE(ip_parse(SLICE("127.0.0.1"), &ip));
    write_text("");
    name_servers_read(&servers, path);
    CU_ASSERT_EQUAL_FATAL(servers.count, 1);
    CU_ASSERT_TRUE(ip_equal_host(&servers.ips[0], &ip));
    name_servers_read(&servers, "no/such/file");
    CU_ASSERT_EQUAL_FATAL(servers.count, 1);
    CU_ASSERT_TRUE(ip_equal_host(&servers.ips[0], &ip));
}

static void
name_servers_are_bounded(void)
{
    struct name_servers servers;
    char text[40 * 24] = "";

    for (unsigned i = 0; i < 40; i++)
        strcat(text, "nameserver 10.0.0.1\n");
    write_text(text);
    name_servers_read(&servers, path);
    CU_ASSERT_EQUAL(servers.count, NAME_SERVERS_MAX);
}

void
suite_hosts(void)
{
    CU_pSuite s = CU_add_suite("hosts", make_file, remove_file);

    CU_add_test(s, "finds every name of a line, in the order of the file",
                finds_every_name_of_a_line);
    CU_add_test(s, "passes over what it cannot read", passes_over_what_it_cannot_read);
    CU_add_test(s, "0.0.0.0 and :: say that there is no such host", unspecified_addresses_say_no);
    CU_add_test(s, "gives no more addresses than asked for",
                gives_no_more_addresses_than_asked_for);
    CU_add_test(s, "notices that the file changed, went, and came back",
                notices_that_the_file_changed);
    CU_add_test(s, "a missing file is an empty table", a_missing_file_is_an_empty_table);
    CU_add_test(s, "an endless file is cut at a line", an_endless_file_is_cut_at_a_line);
    CU_add_test(s, "reads name servers and nothing else", reads_name_servers);
    CU_add_test(s, "the local name server is the default", the_local_name_server_is_the_default);
    CU_add_test(s, "name servers are bounded", name_servers_are_bounded);
}
