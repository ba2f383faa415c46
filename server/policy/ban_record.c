/* SPDX-License-Identifier: BSD-2-Clause */
/* ban_record.c - a ban as a line of JSON:
 *
 *     {"table":"bad","key":"192.0.2.1","since":1790000000,"until":1790000600,"times":1,
 *      "cause":"status 401"}
 *
 * Times are seconds since 1970. Only key and until are needed to read one.
 */
#include "config.h"

#include "server/policy/ban_inside.h"

#include "server/admin/status.h"
#include "server/base/json_strict.h"

#include <inttypes.h>
#include <stdio.h>

static void
write_text(FILE *out, struct slice text)
{
    char copy[BAN_KEY_BYTES + 1];

    memcpy(copy, text.data, text.bytes);
    copy[text.bytes] = '\0';
    status_json_string(out, copy);
}

void
ban_record_write(FILE *out, const char *table, const struct ban_record *record)
{
    fprintf(out, "{\"table\":");
    status_json_string(out, table);
    fprintf(out, ",\"key\":");
    write_text(out, record->key);
    fprintf(out, ",\"since\":%" PRIu64 ",\"until\":%" PRIu64 ",\"times\":%u,\"cause\":",
            record->since_ms / 1000, (record->until_ms + 999) / 1000, record->times);
    write_text(out, record->cause);
    fprintf(out, "}\n");
}

static int
read_ban(const json_t *object, const struct ban_conf *conf, uint64_t now_ms, bool *is_set,
         struct err *err)
{
    const json_t *until = json_object_get(object, "until");
    json_int_t times = json_integer_value(json_object_get(object, "times"));
    struct ban_key key;
    uint64_t until_ms;

    if (json_member_text(object, "key").data == NULL)
        return err_set(err, "has no \"key\", a string");
    if (!json_is_integer(until) || json_integer_value(until) < 0)
        return err_set(err, "has no \"until\", in seconds since 1970");
    if (ban_key_parse(conf, json_member_text(object, "key"), &key, err) < 0)
        return -1;
    if (json_integer_value(until) > INT64_MAX / 2000)
        return err_set(err, "\"until\": is in no time that there will be");
    until_ms = (uint64_t)json_integer_value(until) * 1000;
    *is_set = until_ms > now_ms;
    if (*is_set)
        ban_set(conf, &key, now_ms, until_ms, times > 0 && times < 65535 ? (unsigned)times : 1,
                json_member_text(object, "cause"));
    return 0;
}

int
ban_record_read(struct slice line, const struct ban_conf *conf, uint64_t now_ms, bool *is_set,
                struct err *err)
{
    json_t *object = json_strict_object(line, 1, err);
    int result;

    if (object == NULL)
        return -1;
    result = read_ban(object, conf, now_ms, is_set, err);
    json_decref(object);
    return result;
}

struct slice
ban_record_table(struct slice line, struct arena *arena)
{
    json_t *object = json_strict_object(line, 1, NULL);
    struct slice name = object != NULL ? json_member_text(object, "table")
                                       : slice_make(NULL, 0);

    if (name.data != NULL)
        name = arena_copy(arena, name);
    json_decref(object);
    return name;
}
