/* SPDX-License-Identifier: BSD-2-Clause */
/* question.c - what is said of a request, word by word. */
#include "config.h"

#include "server/policy/question.h"

#include <stdio.h>
#include <time.h>

const char *const question_words[] = {
    "listener", "from", "user", "group", "header", "time", "destination", "sni", "status",
    "response-header", NULL,
};

/* ---- time */

/* Takes the zone off the end: "Z", "UTC", "+01:00". *offset_s is east of Greenwich.
 * False: there is none, the system's counts. */
static bool
take_zone(const char *text, int *offset_s, bool *is_bad)
{
    int hours, minutes, bytes = 0;
    char sign;

    while (*text == ' ')
        text++;
    *offset_s = 0;
    *is_bad = false;
    if (*text == '\0')
        return false;
    if (strcmp(text, "Z") == 0 || strcmp(text, "UTC") == 0)
        return true;
    *is_bad = sscanf(text, "%c%2d:%2d%n", &sign, &hours, &minutes, &bytes) != 3 ||
              text[bytes] != '\0' || (sign != '+' && sign != '-') || hours < 0 || hours > 14 ||
              minutes < 0 || minutes > 59;
    if (!*is_bad)
        *offset_s = (sign == '-' ? -60 : 60) * (hours * 60 + minutes);
    return true;
}

static bool
is_date(const struct tm *given, const struct tm *made)
{
    return given->tm_year == made->tm_year && given->tm_mon == made->tm_mon &&
           given->tm_mday == made->tm_mday;
}

/* Reads the day, or takes today, and puts its end into *rest. */
static bool
read_day(const char *text, struct tm *tm, const char **rest)
{
    time_t now = time(NULL);
    int bytes = 0;

    *rest = text;
    if (sscanf(text, "%4d-%2d-%2d%n", &tm->tm_year, &tm->tm_mon, &tm->tm_mday, &bytes) == 3 &&
        (text[bytes] == ' ' || text[bytes] == 'T')) {
        tm->tm_year -= 1900;
        tm->tm_mon--;
        *rest = text + bytes + 1;
        return true;
    }
    return localtime_r(&now, tm) != NULL;
}

static bool
read_time(const char *text, int64_t *time_s)
{
    struct tm given = { 0 }, made;
    const char *rest;
    int offset_s, bytes = 0, more = 0;
    bool has_zone, is_bad;
    time_t result;

    if (!read_day(text, &given, &rest))
        return false;
    given.tm_sec = 0;
    if (sscanf(rest, "%2d:%2d%n", &given.tm_hour, &given.tm_min, &bytes) != 2 || bytes < 4)
        return false;
    if (sscanf(rest + bytes, ":%2d%n", &given.tm_sec, &more) == 1)
        bytes += more;
    if (given.tm_hour < 0 || given.tm_hour > 23 || given.tm_min < 0 || given.tm_min > 59 ||
        given.tm_sec < 0 || given.tm_sec > 60)
        return false;
    has_zone = take_zone(rest + bytes, &offset_s, &is_bad);
    if (is_bad)
        return false;
    made = given;
    made.tm_isdst = -1;
    result = has_zone ? timegm(&made) : mktime(&made);
    *time_s = (int64_t)result - offset_s;
    return is_date(&given, &made) && *time_s > 0;
}

int
question_parse_time(struct slice text, int64_t *time_s, struct err *err)
{
    char copy[48];

    if (text.bytes < sizeof(copy)) {
        memcpy(copy, text.data, text.bytes);
        copy[text.bytes] = '\0';
        if (read_time(copy, time_s))
            return 0;
    }
    return err_set(err, "\"%.*s\" is no time: \"2026-11-23 10:00\" would be one, also with \"Z\" "
                        "or \"+01:00\" behind it, or \"10:00\" for today", SLICE_ARG(text));
}

/* ---- words */

static int
set_ip(struct ip *ip, struct slice value, struct err *err)
{
    if (value.bytes > 2 && value.data[0] == '[' && value.data[value.bytes - 1] == ']')
        value = slice_make(value.data + 1, value.bytes - 2);
    if (ip_parse(value, ip))
        return 0;
    return err_set(err, "\"%.*s\" is no address: \"192.0.2.1\" or \"2001:db8::1\" would be one",
                   SLICE_ARG(value));
}

static bool
is_clean(struct slice text)
{
    for (size_t i = 0; i < text.bytes; i++)
        if ((unsigned char)text.data[i] < ' ' && text.data[i] != '\t')
            return false;
    return true;
}

static int
add_field(struct slice *items, unsigned *count, struct slice value, struct err *err)
{
    ptrdiff_t colon = slice_find(value, ':');

    if (*count == QUESTION_ITEMS_MAX)
        return err_set(err, "more than %u are given", QUESTION_ITEMS_MAX);
    if (colon <= 0 || !is_clean(value) ||
        slice_find(slice_make(value.data, (size_t)colon), ' ') >= 0)
        return err_set(err, "\"%.*s\" is no field: \"User-Agent: curl\" would be one",
                       SLICE_ARG(value));
    items[(*count)++] = value;
    return 0;
}

static int
add_group(struct question *question, struct slice value, struct err *err)
{
    if (question->group_count == QUESTION_ITEMS_MAX)
        return err_set(err, "more than %u are given", QUESTION_ITEMS_MAX);
    if (value.bytes == 0)
        return err_set(err, "the name is empty");
    question->groups[question->group_count++] = value;
    return 0;
}

static int
set_status(struct question *question, struct slice value, struct err *err)
{
    uint64_t status;

    if (!slice_to_u64(value, 599, &status) || status < 200)
        return err_set(err, "\"%.*s\" is no status of a response: 200..599", SLICE_ARG(value));
    question->status = (uint16_t)status;
    return 0;
}

static int
set_text(struct slice *text, struct slice value, struct err *err)
{
    if (value.bytes == 0)
        return err_set(err, "the text is empty");
    if (!is_clean(value))
        return err_set(err, "the text has control characters");
    *text = value;
    return 0;
}

/* An empty one is known to be none. */
static int
set_server_name(struct question *question, struct slice value)
{
    question->server_name = value;
    question->has_server_name = true;
    return 0;
}

static int
set_client(struct question *question, struct slice value, struct err *err)
{
    question->has_client = true;
    return set_ip(&question->client, value, err);
}

static int
set(struct question *q, struct slice name, struct slice value, struct err *err)
{
    if (slice_equal(name, SLICE("method")))
        return set_text(&q->method, value, err);
    if (slice_equal(name, SLICE("url")))
        return set_text(&q->url, value, err);
    if (slice_equal(name, SLICE("listener")))
        return set_text(&q->listener, value, err);
    if (slice_equal(name, SLICE("from")))
        return set_client(q, value, err);
    if (slice_equal(name, SLICE("user")))
        return set_text(&q->user, value, err);
    if (slice_equal(name, SLICE("group")))
        return add_group(q, value, err);
    if (slice_equal(name, SLICE("header")))
        return add_field(q->fields, &q->field_count, value, err);
    if (slice_equal(name, SLICE("time")))
        return question_parse_time(value, &q->time_s, err);
    if (slice_equal(name, SLICE("destination")))
        return set_ip(&q->destination, value, err);
    if (slice_equal(name, SLICE("sni")))
        return set_server_name(q, value);
    if (slice_equal(name, SLICE("status")))
        return set_status(q, value, err);
    if (slice_equal(name, SLICE("response-header")))
        return add_field(q->response_fields, &q->response_field_count, value, err);
    return err_set(err, "nobody knows this word");
}

int
question_set(struct question *question, struct slice name, struct slice value, struct err *err)
{
    if (set(question, name, value, err) == 0)
        return 0;
    return err_prefix(err, "%.*s: ", SLICE_ARG(name));
}
