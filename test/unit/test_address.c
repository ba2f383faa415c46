/* SPDX-License-Identifier: BSD-2-Clause */
/* test_address.c - addresses are read strictly and written in one form. */
#include "config.h"

#include "server/net/address.h"

#include <CUnit/CUnit.h>

#include "server/base/must.h"

void suite_address(void);

/* Reads and writes again; "" when refused. */
static const char *
again(const char *literal)
{
    static char text[IP_TEXT_BYTES];
    struct ip ip;

    if (!ip_parse(slice_of(literal), &ip))
        return "";
    CU_ASSERT_EQUAL(ip_text(&ip, text), strlen(text));
    return text;
}

/* RFC 5952 section 4: lower case, no leading zeros, the longest run of zero
 * fields shortened, the first of equals, never a single one. */
static void
writes_ipv6_in_its_one_form(void)
{
    static const char *const forms[][2] = {
        { "2001:DB8:0:0:0:0:0:1", "2001:db8::1" },
        { "2001:0db8::0001", "2001:db8::1" },
        { "::", "::" },
        { "::1", "::1" },
        { "1::", "1::" },
        { "2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1" },
        { "2001:0:0:1:0:0:0:1", "2001:0:0:1::1" },
        { "2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1" },
        { "1:2:3:4:5:6:0:0", "1:2:3:4:5:6::" },
        { "0:0:3:4:5:6:7:8", "::3:4:5:6:7:8" },
        { "64:ff9b::192.0.2.1", "64:ff9b::c000:201" },
        { "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
    };

    for (size_t i = 0; i < ARRAY_COUNT(forms); i++)
        CU_ASSERT_STRING_EQUAL(again(forms[i][0]), forms[i][1]);
}

/* RFC 4291 section 2.5.5.2: the same host as the IPv4 address. */
static void
mapped_addresses_are_ipv4(void)
{
    CU_ASSERT_STRING_EQUAL(again("::ffff:10.1.2.3"), "10.1.2.3");
    CU_ASSERT_STRING_EQUAL(again("::ffff:a01:203"), "10.1.2.3");
    CU_ASSERT_STRING_EQUAL(again("255.255.255.255"), "255.255.255.255");
}

/* Other spellings of IPv4 are how guards are tricked. */
static void
refuses_everything_but_plain_literals(void)
{
    static const char *const bad[] = {
        "", "1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.0.0.01", "1.2.3.4.5",
        "256.0.0.1", "1.2.3", "1.2.3.4 ", " 1.2.3.4", "1.2.3.4.", "[::1]", "::1%lo", "fe80::1%1",
        ":::", "1::2::3", "12345::", "g::", "1:2:3:4:5:6:7:8:9", "localhost",
        "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc",
    };

    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        CU_ASSERT_STRING_EQUAL(again(bad[i]), "");
    CU_ASSERT_FALSE(ip_parse(slice_make("1.2.3.4\0x", 9), &(struct ip){ 0 }));
}

static void
writes_ports_and_scopes(void)
{
    char text[IP_TEXT_BYTES];
    struct ip ip;

    CU_ASSERT(ip_parse(SLICE("10.0.0.1"), &ip));
    ip.port = 65535;
    ip_port_text(&ip, text);
    CU_ASSERT_STRING_EQUAL(text, "10.0.0.1:65535");
    CU_ASSERT(ip_parse(SLICE("fe80::1"), &ip));
    ip.port = 80;
    ip.scope = 2;
    ip_port_text(&ip, text);
    CU_ASSERT_STRING_EQUAL(text, "[fe80::1%2]:80");
    ip = (struct ip){ .family = 0 };
    CU_ASSERT_EQUAL(ip_port_text(&ip, text), 4);
    CU_ASSERT_STRING_EQUAL(text, "unix");
    memset(&ip, 0xff, sizeof(ip));
    ip.family = 6;
    CU_ASSERT(ip_port_text(&ip, text) < IP_TEXT_BYTES);
}

/* What address_parse() makes of text, written again, or its error. */
static const char *
parsed(const char *written, int default_port)
{
    static char text[ADDRESS_TEXT_BYTES];
    static struct err err;
    struct address address;

    if (address_parse(&address, slice_of(written), default_port, &err) < 0)
        return err.text;
    return address_text(&address, text);
}

static void
reads_what_an_operator_writes(void)
{
    static const char *const forms[][2] = {
        { "127.0.0.1:80", "127.0.0.1:80" },
        { "[::1]:443", "[::1]:443" },
        { "[fe80::1%3]:80", "[fe80::1%3]:80" },
        { "[::ffff:1.2.3.4]:80", "1.2.3.4:80" },
        { "*:80", "*:80" },
        { ":80", "*:80" },
        { "80", "*:80" },
        { "0.0.0.0:0", "0.0.0.0:0" },
        { "unix:/run/x.sock", "unix:/run/x.sock" },
    };

    for (size_t i = 0; i < ARRAY_COUNT(forms); i++)
        CU_ASSERT_STRING_EQUAL(parsed(forms[i][0], -1), forms[i][1]);
    CU_ASSERT_STRING_EQUAL(parsed("10.0.0.1", 8080), "10.0.0.1:8080");
    CU_ASSERT_STRING_EQUAL(parsed("[::1]", 8080), "[::1]:8080");
    CU_ASSERT_STRING_EQUAL(parsed("*", 8080), "*:8080");
}

static void
says_why_an_address_is_refused(void)
{
    static const char *const findings[][2] = {
        { "127.0.0.1", "\"127.0.0.1\" has no port" },
        { "::1", "goes in brackets: \"[::1]:80\"" },
        { "localhost:80", "\"localhost\" is not an IP address" },
        { "127.1:80", "\"127.1\" is not an IP address" },
        { "127.0.0.1:70000", "port 70000 is outside 0..65535" },
        { "127.0.0.1:", "\"\" is not a port number" },
        { "127.0.0.1:http", "\"http\" is not a port number" },
        { "127.0.0.1:+80", "\"+80\" is not a port number" },
        { "99999", "port 99999 is outside" },
        { "[::1", "is not" },
        { "[10.0.0.1]:80", "\"[10.0.0.1]\" is not an IPv6 address" },
        { "[fe80::1%nosuchdevice]:80", "names no network interface" },
        { "unix:run/x", "wants an absolute path" },
        { "unix:/123456789012345678901234567890123456789012345678901234567890123456789012345678901"
          "23456789012345678901234567890", "at most 107 bytes" },
    };

    for (size_t i = 0; i < ARRAY_COUNT(findings); i++) {
        const char *text = parsed(findings[i][0], -1);

        CU_ASSERT_PTR_NOT_NULL(strstr(text, findings[i][1]));
        if (strstr(text, findings[i][1]) == NULL)
            printf("\n  \"%s\": %s\n", findings[i][0], text);
    }
}

static void
compares_addresses(void)
{
    struct address a, b;
    struct ip x, y;

    CU_ASSERT_EQUAL(address_parse(&a, SLICE("[::ffff:1.2.3.4]:80"), -1, NULL), 0);
    CU_ASSERT_EQUAL(address_parse(&b, SLICE("1.2.3.4:80"), -1, NULL), 0);
    CU_ASSERT(address_equal(&a, &b));
    CU_ASSERT_EQUAL(address_parse(&b, SLICE("1.2.3.4:81"), -1, NULL), 0);
    CU_ASSERT_FALSE(address_equal(&a, &b));
    ip_from_sockaddr(&x, &a.to.any);
    ip_from_sockaddr(&y, &b.to.any);
    CU_ASSERT(ip_equal_host(&x, &y));
    CU_ASSERT_FALSE(ip_equal(&x, &y));
    CU_ASSERT_EQUAL(address_parse(&a, SLICE("unix:/a"), -1, NULL), 0);
    CU_ASSERT_FALSE(address_equal(&a, &b));
    CU_ASSERT_EQUAL(address_parse(&b, SLICE("unix:/a"), -1, NULL), 0);
    CU_ASSERT(address_equal(&a, &b));
}

static void
survives_the_way_through_a_sockaddr(void)
{
    static const char *const literals[] = { "10.1.2.3", "2001:db8::5" };

    for (size_t i = 0; i < ARRAY_COUNT(literals); i++) {
        struct address address;
        struct ip ip, back;

        CU_ASSERT(ip_parse(slice_of(literals[i]), &ip));
        ip.port = 1234;
        address_from_ip(&address, &ip);
        ip_from_sockaddr(&back, &address.to.any);
        CU_ASSERT(ip_equal(&ip, &back));
    }
}

void
suite_address(void)
{
    CU_pSuite s = CU_add_suite("address", NULL, NULL);

    CU_add_test(s, "writes IPv6 in its one form", writes_ipv6_in_its_one_form);
    CU_add_test(s, "mapped addresses are IPv4", mapped_addresses_are_ipv4);
    CU_add_test(s, "refuses everything but plain literals", refuses_everything_but_plain_literals);
    CU_add_test(s, "writes ports and scopes", writes_ports_and_scopes);
    CU_add_test(s, "reads what an operator writes", reads_what_an_operator_writes);
    CU_add_test(s, "says why an address is refused", says_why_an_address_is_refused);
    CU_add_test(s, "compares addresses", compares_addresses);
    CU_add_test(s, "survives the way through a sockaddr", survives_the_way_through_a_sockaddr);
}
