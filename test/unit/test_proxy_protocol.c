/* SPDX-License-Identifier: BSD-2-Clause */
/* test_proxy_protocol.c - PROXY headers, "The PROXY protocol, Versions 1 & 2". */
#include "config.h"

#include "server/net/proxy_protocol.h"

#include <CUnit/CUnit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void suite_proxy_protocol(void);

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V4_ADDRESSES "\xc0\x00\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbb"
#define V4_TEXT "192.0.2.1:56324 198.51.100.7:443"

static char verdict[2 * IP_TEXT_BYTES + 32];

/* The meaning of bytes as text: "from to length", "more" or "bad". In memory of
 * exactly this size, so that a sanitizer sees every overrun. */
static const char *
parse(const char *bytes, size_t count)
{
    char from[IP_TEXT_BYTES], to[IP_TEXT_BYTES];
    struct ip source, destination;
    size_t header_bytes = 0;
    char *copy = malloc(count > 0 ? count : 1);

    CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
    memcpy(copy, bytes, count);
    switch (proxy_protocol_parse(slice_make(copy, count), &source, &destination, &header_bytes)) {
    case PROXY_PROTOCOL_OK:
        ip_port_text(&source, from);
        ip_port_text(&destination, to);
        snprintf(verdict, sizeof(verdict), "%s %s %zu", from, to, header_bytes);
        break;
    case PROXY_PROTOCOL_MORE:
        strcpy(verdict, "more");
        break;
    case PROXY_PROTOCOL_BAD:
        strcpy(verdict, "bad");
        break;
    }
    free(copy);
    return verdict;
}

/* The verdict must not depend on how the bytes were cut. */
static const char *
parse_any_way(const char *bytes, size_t count)
{
    for (size_t n = 0; n <= count; n++)
        if (strcmp(parse(bytes, n), "more") != 0)
            break;
    {
        char bytewise[sizeof(verdict)];

        strcpy(bytewise, verdict);
        CU_ASSERT_STRING_EQUAL(parse(bytes, count), bytewise);
    }
    return verdict;
}

#define SAYS(literal, wanted) \
    CU_ASSERT_STRING_EQUAL(parse_any_way(literal, sizeof(literal) - 1), wanted)

/* ---- version 1, section 2.1 */

static void
reads_version_1(void)
{
    SAYS("PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n", V4_TEXT " 45");
    SAYS("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\nGET / HTTP/1.1\r\n",
         "255.255.255.255:65535 255.255.255.255:65535 56");
    SAYS("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", "0.0.0.0:0 0.0.0.0:0 32");
    SAYS("PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n", "[2001:db8::1]:1 [2001:db8::2]:2 40");
}

static void
takes_a_mapped_address_for_what_it_is(void)
{
    SAYS("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.7 56324 443\r\n", V4_TEXT " 59");
    SAYS("PROXY TCP4 ::ffff:192.0.2.1 198.51.100.7 56324 443\r\n", "bad");
}

static void
reads_unknown_and_ignores_the_rest_of_its_line(void)
{
    SAYS("PROXY UNKNOWN\r\n", "unix unix 15");
    SAYS("PROXY UNKNOWN ffff::1 nonsense 65535 a b c\r\nrest", "unix unix 44");
}

static void
refuses_malformed_lines(void)
{
    SAYS("PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\n", "bad");
    SAYS("PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\r\n", "bad");
    SAYS("PROXY  TCP4 192.0.2.1 198.51.100.7 56324 443\r\n", "bad");
    SAYS("PROXY TCP4 192.0.2.1 198.51.100.7 56324 443 \r\n", "bad");
    SAYS("PROXY TCP4 192.0.2.1 198.51.100.7 56324\r\n", "bad");
    SAYS("PROXY TCP4 192.0.2.1 198.51.100.7 56324 443 1\r\n", "bad");
    SAYS("PROXY\r\n", "bad");
    SAYS("PROXY \r\n", "bad");
    SAYS("PROXYTCP4 192.0.2.1 198.51.100.7 56324 443\r\n", "bad");
    SAYS("proxy TCP4 192.0.2.1 198.51.100.7 56324 443\r\n", "bad");
    SAYS("PROXY UDP4 192.0.2.1 198.51.100.7 56324 443\r\n", "bad");
    SAYS("PROXY tcp4 192.0.2.1 198.51.100.7 56324 443\r\n", "bad");
    SAYS("PROXY UNKNOWNS\r\n", "bad");
}

static void
refuses_malformed_addresses_and_ports(void)
{
    SAYS("PROXY TCP4 192.0.2 198.51.100.7 56324 443\r\n", "bad");
    SAYS("PROXY TCP4 192.0.2.256 198.51.100.7 56324 443\r\n", "bad");
    SAYS("PROXY TCP4 192.0.2.01 198.51.100.7 56324 443\r\n", "bad");
    SAYS("PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", "bad");
    SAYS("PROXY TCP6 192.0.2.1 198.51.100.7 56324 443\r\n", "bad");
    SAYS("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", "bad");
    SAYS("PROXY TCP4 192.0.2.1 198.51.100.7 65536 443\r\n", "bad");
    SAYS("PROXY TCP4 192.0.2.1 198.51.100.7 056324 443\r\n", "bad");
    SAYS("PROXY TCP4 192.0.2.1 198.51.100.7 -1 443\r\n", "bad");
    SAYS("PROXY TCP4 192.0.2.1 198.51.100.7 +1 443\r\n", "bad");
    SAYS("PROXY TCP4 192.0.2.1 198.51.100.7 1 0x1bb\r\n", "bad");
    SAYS("PROXY TCP4 192.0.2.1\0 198.51.100.7 1 443\r\n", "bad");
}

/* Section 2.1: 107 bytes hold every line; a reader need not look further. */
static void
reads_no_more_than_107_bytes_of_a_line(void)
{
    char line[200];

    memset(line, 'x', sizeof(line));
    memcpy(line, "PROXY UNKNOWN ", 14);
    memcpy(line + 105, "\r\n", 2);
    CU_ASSERT_STRING_EQUAL(parse_any_way(line, 120), "unix unix 107");
    memcpy(line + 105, "x\r\n", 3);
    CU_ASSERT_STRING_EQUAL(parse_any_way(line, 120), "bad");
    memset(line, 'x', sizeof(line));
    memcpy(line, "PROXY UNKNOWN ", 14);
    CU_ASSERT_STRING_EQUAL(parse(line, 106), "more");
    CU_ASSERT_STRING_EQUAL(parse(line, 107), "bad");
}

static void
refuses_what_is_no_header_at_the_first_wrong_byte(void)
{
    CU_ASSERT_STRING_EQUAL(parse("", 0), "more");
    CU_ASSERT_STRING_EQUAL(parse("PRO", 3), "more");
    CU_ASSERT_STRING_EQUAL(parse("\r\n\r\n", 4), "more");
    CU_ASSERT_STRING_EQUAL(parse("G", 1), "bad");
    CU_ASSERT_STRING_EQUAL(parse("PRX", 3), "bad");
    CU_ASSERT_STRING_EQUAL(parse("\r\n\r\nG", 5), "bad");
    SAYS("GET / HTTP/1.1\r\n\r\n", "bad");
    SAYS("\x16\x03\x01\x02\x00", "bad");
}

/* ---- version 2, section 2.2 */

static void
reads_version_2(void)
{
    SAYS(SIGNATURE "\x21\x11\x00\x0c" V4_ADDRESSES, V4_TEXT " 28");
    SAYS(SIGNATURE "\x21\x11\x00\x0c" V4_ADDRESSES "GET /", V4_TEXT " 28");
    SAYS(SIGNATURE "\x21\x21\x00\x24"
                   "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
                   "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02"
                   "\x00\x01\x00\x02",
         "[2001:db8::1]:1 [2001:db8::2]:2 52");
    SAYS(SIGNATURE "\x21\x21\x00\x24"
                   "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x01"
                   "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc6\x33\x64\x07"
                   "\xdc\x04\x01\xbb",
         V4_TEXT " 52");
}

static void
takes_local_and_unspecified_for_nobody(void)
{
    SAYS(SIGNATURE "\x20\x00\x00\x00", "unix unix 16");
    SAYS(SIGNATURE "\x20\x11\x00\x0c" V4_ADDRESSES, "unix unix 28");
    SAYS(SIGNATURE "\x20\x77\x00\x02??", "unix unix 18"); /* LOCAL: the rest is ignored */
    SAYS(SIGNATURE "\x21\x00\x00\x05?????", "unix unix 21");
}

static void
takes_unix_paths_for_nobody(void)
{
    char header[16 + 216] = SIGNATURE "\x21\x31\x00\xd8/run/client.sock";

    CU_ASSERT_STRING_EQUAL(parse_any_way(header, sizeof(header)), "unix unix 232");
    header[15] = (char)0xd7;
    CU_ASSERT_STRING_EQUAL(parse_any_way(header, sizeof(header)), "bad");
}

static void
refuses_other_versions_commands_and_families(void)
{
    SAYS(SIGNATURE "\x11\x11\x00\x0c" V4_ADDRESSES, "bad");
    SAYS(SIGNATURE "\x31\x11\x00\x0c" V4_ADDRESSES, "bad");
    SAYS(SIGNATURE "\x22\x11\x00\x0c" V4_ADDRESSES, "bad");
    SAYS(SIGNATURE "\x21\x12\x00\x0c" V4_ADDRESSES, "bad"); /* UDP cannot have come by TCP */
    SAYS(SIGNATURE "\x21\x10\x00\x0c" V4_ADDRESSES, "bad");
    SAYS(SIGNATURE "\x21\x41\x00\x0c" V4_ADDRESSES, "bad");
    SAYS(SIGNATURE "\x21\x11\x00\x0b" V4_ADDRESSES, "bad"); /* too short for its family */
}

static void
passes_over_extensions(void)
{
    SAYS(SIGNATURE "\x21\x11\x00\x18" V4_ADDRESSES "\x01\x00\x02h2\x04\x00\x00\xe0\x00\x01?",
         V4_TEXT " 40");
}

static void
refuses_extensions_that_do_not_fit(void)
{
    SAYS(SIGNATURE "\x21\x11\x00\x0e" V4_ADDRESSES "\x04\x00", "bad");
    SAYS(SIGNATURE "\x21\x11\x00\x10" V4_ADDRESSES "\x04\x00\x02?", "bad");
    SAYS(SIGNATURE "\x21\x11\x00\x10" V4_ADDRESSES "\x04\xff\xff?", "bad");
}

/* Section 2.2.2: a checksum that is there has to be right (RFC 4960 appendix B). */
static void
checks_a_checksum(void)
{
    static const char header[] = SIGNATURE "\x21\x11\x00\x13" V4_ADDRESSES
                                           "\x03\x00\x04\xd4\x5a\x11\xb9";
    char broken[sizeof(header)];

    CU_ASSERT_STRING_EQUAL(parse_any_way(header, sizeof(header) - 1), V4_TEXT " 35");
    for (size_t i = 16; i < 28; i++) {
        memcpy(broken, header, sizeof(header));
        broken[i] ^= 0x20;
        CU_ASSERT_STRING_EQUAL(parse_any_way(broken, sizeof(header) - 1), "bad");
    }
    SAYS(SIGNATURE "\x21\x11\x00\x12" V4_ADDRESSES "\x03\x00\x03\xd4\x5a\x11", "bad");
}

static void
bounds_the_length_of_version_2(void)
{
    char *header = calloc(1, PROXY_PROTOCOL_READ_MAX + 1);

    CU_ASSERT_PTR_NOT_NULL_FATAL(header);
    memcpy(header, SIGNATURE "\x21\x11\x0f\xf0" V4_ADDRESSES, 28);
    memcpy(header + 28, "\x04\x0f\xe1", 3);
    CU_ASSERT_STRING_EQUAL(parse(header, PROXY_PROTOCOL_READ_MAX), V4_TEXT " 4096");
    CU_ASSERT_STRING_EQUAL(parse(header, PROXY_PROTOCOL_READ_MAX - 1), "more");
    header[15] = (char)0xf1;
    CU_ASSERT_STRING_EQUAL(parse(header, 16), "bad");
    free(header);
}

/* ---- writing */

static struct ip
ip_of(const char *text, uint16_t port)
{
    struct ip ip = { .family = 0 };

    if (text != NULL)
        CU_ASSERT_TRUE(ip_parse(slice_of(text), &ip));
    ip.port = port;
    return ip;
}

static size_t
write_out(char *out, int version, const char *from, const char *to)
{
    struct ip source = ip_of(from, 56324), destination = ip_of(to, 443);
    size_t bytes = proxy_protocol_write(out, version, &source, &destination);

    CU_ASSERT_TRUE(bytes <= PROXY_PROTOCOL_MAX);
    return bytes;
}

static const char *
line(const char *from, const char *to)
{
    static char out[PROXY_PROTOCOL_MAX + 1];

    out[write_out(out, 1, from, to)] = '\0';
    return out;
}

static void
writes_version_1(void)
{
    CU_ASSERT_STRING_EQUAL(line("192.0.2.1", "198.51.100.7"),
                           "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n");
    CU_ASSERT_STRING_EQUAL(line("2001:db8::1", "2001:db8::2"),
                           "PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n");
    CU_ASSERT_STRING_EQUAL(line("2001:db8::1", "192.0.2.1"),
                           "PROXY TCP6 2001:db8::1 ::ffff:192.0.2.1 56324 443\r\n");
    CU_ASSERT_STRING_EQUAL(line(NULL, "192.0.2.1"), "PROXY UNKNOWN\r\n");
}

static void
writes_version_2(void)
{
    static const char wanted[] = SIGNATURE "\x21\x11\x00\x0c" V4_ADDRESSES;
    char out[PROXY_PROTOCOL_MAX];

    CU_ASSERT_EQUAL(write_out(out, 2, "192.0.2.1", "198.51.100.7"), sizeof(wanted) - 1);
    CU_ASSERT_EQUAL(memcmp(out, wanted, sizeof(wanted) - 1), 0);
    CU_ASSERT_EQUAL(write_out(out, 2, NULL, "192.0.2.1"), 16);
    CU_ASSERT_STRING_EQUAL(parse_any_way(out, 16), "unix unix 16");
}

static void
reads_what_it_writes(void)
{
    static const char *const texts[] = { "192.0.2.1", "2001:db8::1",
                                         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" };
    char out[PROXY_PROTOCOL_MAX], wanted[2 * IP_TEXT_BYTES + 32], from[IP_TEXT_BYTES],
        to[IP_TEXT_BYTES];

    for (int version = 1; version <= 2; version++) {
        for (int i = 0; i < 9; i++) {
            struct ip source = ip_of(texts[i / 3], 56324), destination = ip_of(texts[i % 3], 443);
            size_t bytes = write_out(out, version, texts[i / 3], texts[i % 3]);

            ip_port_text(&source, from);
            ip_port_text(&destination, to);
            snprintf(wanted, sizeof(wanted), "%s %s %zu", from, to, bytes);
            CU_ASSERT_STRING_EQUAL(parse_any_way(out, bytes), wanted);
        }
    }
}

void
suite_proxy_protocol(void)
{
    CU_pSuite s = CU_add_suite("proxy_protocol", NULL, NULL);

    CU_add_test(s, "reads version 1", reads_version_1);
    CU_add_test(s, "takes a mapped address for what it is", takes_a_mapped_address_for_what_it_is);
    CU_add_test(s, "reads UNKNOWN and ignores the rest of its line",
                reads_unknown_and_ignores_the_rest_of_its_line);
    CU_add_test(s, "refuses malformed lines", refuses_malformed_lines);
    CU_add_test(s, "refuses malformed addresses and ports", refuses_malformed_addresses_and_ports);
    CU_add_test(s, "reads no more than 107 bytes of a line",
                reads_no_more_than_107_bytes_of_a_line);
    CU_add_test(s, "refuses what is no header at the first wrong byte",
                refuses_what_is_no_header_at_the_first_wrong_byte);
    CU_add_test(s, "reads version 2", reads_version_2);
    CU_add_test(s, "takes LOCAL and unspecified for nobody",
                takes_local_and_unspecified_for_nobody);
    CU_add_test(s, "takes unix paths for nobody", takes_unix_paths_for_nobody);
    CU_add_test(s, "refuses other versions, commands and families",
                refuses_other_versions_commands_and_families);
    CU_add_test(s, "passes over extensions", passes_over_extensions);
    CU_add_test(s, "refuses extensions that do not fit", refuses_extensions_that_do_not_fit);
    CU_add_test(s, "checks a checksum", checks_a_checksum);
    CU_add_test(s, "bounds the length of version 2", bounds_the_length_of_version_2);
    CU_add_test(s, "writes version 1", writes_version_1);
    CU_add_test(s, "writes version 2", writes_version_2);
    CU_add_test(s, "reads what it writes", reads_what_it_writes);
}
