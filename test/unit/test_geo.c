/* SPDX-License-Identifier: BSD-2-Clause */
/* test_geo.c - addresses have the country and network that a database says. */
#include "config.h"

#include "server/policy/geo.h"

#include "server/policy/geo_database.h"
#include "server/registry.h"
#include "test/support/mmdb_writer.h"
#include "test/unit/suites.h"

#include <CUnit/CUnit.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct mmdb_writer writer;
static char folder[] = "/tmp/bascule-geo-XXXXXX";
static char country_path[64], as_path[64];

static int
write_country(const char *code)
{
    mmdb_begin(&writer);
    if (mmdb_add_country(&writer, "192.0.0.0/16", "country", code) < 0 ||
        mmdb_add_country(&writer, "192.0.2.128/25", "country", "FR") < 0 ||
        mmdb_add_country(&writer, "198.51.100.0/24", "registered_country", "JP") < 0 ||
        mmdb_add_country(&writer, "203.0.113.0/24", "country", "nowhere") < 0 ||
        mmdb_add_country(&writer, "2001:db8::/32", "country", "SE") < 0 ||
        mmdb_add(&writer, "233.252.0.0/24", writer.data_bytes) < 0)
        return -1;
    mmdb_put_text(&writer, "not a map");
    return mmdb_write(&writer, country_path);
}

static int
begin(void)
{
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(country_path, sizeof(country_path), "%s/country.mmdb", folder);
    snprintf(as_path, sizeof(as_path), "%s/as.mmdb", folder);
    if (write_country("DE") < 0)
        return -1;
    mmdb_begin(&writer);
    if (mmdb_add_as(&writer, "192.0.2.0/24", 64500) < 0 ||
        mmdb_add_as(&writer, "2001:db8::/32", 4200000000) < 0)
        return -1;
    return mmdb_write(&writer, as_path);
}

static int
end(void)
{
    unlink(country_path);
    unlink(as_path);
    return rmdir(folder);
}

static const char *
country_of(const struct geo_database *database, const char *text)
{
    static char code[3];
    struct ip ip;

    CU_ASSERT_TRUE_FATAL(ip_parse(slice_of(text), &ip));
    return geo_country(database, &ip, code) ? code : "";
}

static uint32_t
as_of(const struct geo_database *database, const char *text)
{
    uint32_t number;
    struct ip ip;

    CU_ASSERT_TRUE_FATAL(ip_parse(slice_of(text), &ip));
    return geo_as(database, &ip, &number) ? number : 0;
}

static void
addresses_have_the_country_of_the_longest_network(void)
{
    struct geo_conf geo = { .country_path = country_path, .as_path = as_path };
    const struct ip unix_socket = { .family = 0 };
    char code[3];
    struct err err;

    if (!geo_is_built_in)
        return;
    CU_ASSERT_EQUAL_FATAL(geo_conf_finish(&geo, &err), 0);
    CU_ASSERT_EQUAL_FATAL(geo_adopt(&geo, &err), 0);
    CU_ASSERT_STRING_EQUAL(country_of(geo.country, "192.0.2.1"), "DE");
    CU_ASSERT_STRING_EQUAL(country_of(geo.country, "192.0.2.129"), "FR");
    CU_ASSERT_STRING_EQUAL(country_of(geo.country, "2001:db8:1::1"), "SE");
    CU_ASSERT_STRING_EQUAL(country_of(geo.country, "::ffff:192.0.2.1"), "DE");
    CU_ASSERT_STRING_EQUAL(country_of(geo.country, "198.51.100.7"), "JP");
    CU_ASSERT_STRING_EQUAL(country_of(geo.country, "10.0.0.1"), "");
    CU_ASSERT_STRING_EQUAL(country_of(geo.country, "203.0.113.1"), "");
    CU_ASSERT_STRING_EQUAL(country_of(geo.country, "233.252.0.1"), "");
    CU_ASSERT_FALSE(geo_country(geo.country, &unix_socket, code));
    CU_ASSERT_EQUAL(as_of(geo.as, "192.0.2.1"), 64500);
    CU_ASSERT_EQUAL(as_of(geo.as, "2001:db8::1"), 4200000000);
    CU_ASSERT_EQUAL(as_of(geo.as, "10.0.0.1"), 0);
    CU_ASSERT_EQUAL(as_of(geo.country, "192.0.2.1"), 0); /* it has none */
    CU_ASSERT_STRING_EQUAL(country_of(NULL, "192.0.2.1"), "");
    CU_ASSERT_EQUAL(as_of(NULL, "192.0.2.1"), 0);
    geo_release(&geo);
    CU_ASSERT_EQUAL(registry_count(NULL), 0);
}

static void
asking_takes_no_memory(void)
{
#if !defined(BASCULE_ASAN) && !defined(__SANITIZE_THREAD__) /* which have a heap of their own */
    struct geo_conf geo = { .country_path = country_path, .as_path = as_path };
    struct mallinfo2 before, after;
    struct err err;

    if (!geo_is_built_in)
        return;
    CU_ASSERT_EQUAL_FATAL(geo_adopt(&geo, &err), 0);
    before = mallinfo2();
    for (unsigned i = 0; i < 1000; i++) {
        (void)country_of(geo.country, "192.0.2.1");
        (void)as_of(geo.as, "192.0.2.1");
    }
    after = mallinfo2();
    CU_ASSERT_EQUAL(before.uordblks, after.uordblks);
    geo_release(&geo);
#endif
}

static void
a_reload_takes_a_file_that_has_changed(void)
{
    struct geo_conf before = { .country_path = country_path }, same = before, after = before;
    struct err err;

    if (!geo_is_built_in)
        return;
    CU_ASSERT_EQUAL_FATAL(geo_adopt(&before, &err), 0);
    CU_ASSERT_EQUAL_FATAL(geo_adopt(&same, &err), 0);
    CU_ASSERT_PTR_EQUAL(before.country, same.country);
    CU_ASSERT_EQUAL_FATAL(write_country("AT"), 0);
    CU_ASSERT_EQUAL_FATAL(geo_adopt(&after, &err), 0);
    CU_ASSERT_STRING_EQUAL(country_of(after.country, "192.0.2.1"), "AT");
    CU_ASSERT_STRING_EQUAL(country_of(before.country, "192.0.2.1"), "DE");
    CU_ASSERT_EQUAL(truncate(country_path, 10), 0); /* nobody falls over it */
    CU_ASSERT_STRING_EQUAL(country_of(after.country, "192.0.2.1"), "AT");
    geo_release(&before);
    geo_release(&same);
    geo_release(&after);
    CU_ASSERT_EQUAL(write_country("DE"), 0);
}

static void
a_file_that_is_no_database_is_refused(void)
{
    struct geo_conf geo = { .place = { "test.conf", 7 }, .country_path = country_path,
                            .as_path = "/nowhere/as.mmdb" };
    struct err err;

    if (!geo_is_built_in)
        return;
    CU_ASSERT_EQUAL(geo_adopt(&geo, &err), -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "test.conf:7: geo: as: /nowhere/as.mmdb: No such"));
    CU_ASSERT_PTR_NULL(geo.country); /* both or none */
    CU_ASSERT_EQUAL(truncate(country_path, 40), 0);
    CU_ASSERT_EQUAL(geo_adopt(&geo, &err), -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "is no database in MaxMind's format"));
    CU_ASSERT_EQUAL(truncate(country_path, 0), 0);
    CU_ASSERT_EQUAL(geo_adopt(&geo, &err), -1);
    CU_ASSERT_EQUAL(registry_count(NULL), 0);
    CU_ASSERT_EQUAL(write_country("DE"), 0);
}

/* Every byte of a database changed in turn: answers may be wrong, but come. */
static void
a_damaged_database_does_no_harm(void)
{
    struct geo_conf geo = { .country_path = country_path };
    static char bytes[65536];
    FILE *file = fopen(country_path, "r");
    size_t count = fread(bytes, 1, sizeof(bytes), file);
    struct err err;

    fclose(file);
    for (size_t i = 0; geo_is_built_in && i < count; i += 3) {
        bytes[i] = (char)~bytes[i];
        unlink(country_path);
        file = fopen(country_path, "w");
        fwrite(bytes, 1, count, file);
        fclose(file);
        bytes[i] = (char)~bytes[i];
        if (geo_adopt(&geo, &err) < 0)
            continue;
        (void)country_of(geo.country, "192.0.2.1");
        (void)country_of(geo.country, "2001:db8::1");
        geo_release(&geo);
    }
    CU_ASSERT_EQUAL(registry_count(NULL), 0);
    CU_ASSERT_EQUAL(write_country("DE"), 0);
}

static void
paths_need_to_be_absolute_and_the_library_there(void)
{
    struct geo_conf geo = { .country_path = "country.mmdb" };
    struct err err;

    CU_ASSERT_EQUAL(geo_conf_finish(&geo, &err), -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, geo_is_built_in ? "is not an absolute path"
                                                            : "built without libmaxminddb"));
    geo.country_path = NULL;
    CU_ASSERT_EQUAL(geo_conf_finish(&geo, &err), 0);
    CU_ASSERT_EQUAL(geo_adopt(&geo, &err), 0);
    geo_release(&geo);
}

void
suite_geo(void)
{
    CU_pSuite s = CU_add_suite("geo", begin, end);

    CU_add_test(s, "addresses have the country of the longest network",
                addresses_have_the_country_of_the_longest_network);
    CU_add_test(s, "asking takes no memory", asking_takes_no_memory);
    CU_add_test(s, "a reload takes a file that has changed",
                a_reload_takes_a_file_that_has_changed);
    CU_add_test(s, "a file that is no database is refused", a_file_that_is_no_database_is_refused);
    CU_add_test(s, "a damaged database does no harm", a_damaged_database_does_no_harm);
    CU_add_test(s, "paths need to be absolute and the library there",
                paths_need_to_be_absolute_and_the_library_there);
}
