/* SPDX-License-Identifier: BSD-2-Clause */
/* waf_record.c - a verdict in a few words, and as a line of JSON. */
#include "config.h"

#include "filters/waf_inside.h"

#include "server/log/escape.h"
#include "server/log/log_privacy.h"
#include "server/log/log_thread.h"

#include <stdio.h>

#define WORDS_BYTES 256
#define VALUE_MAX 1024 /* bytes of host and path */
#define SPARE 128      /* of the line: what always fits behind a value */

/* ---- words */

/* Whether the list tells of that rule before position i. */
static bool
is_told(const struct waf_verdict *verdict, unsigned i)
{
    for (unsigned j = 0; j < i; j++)
        if (verdict->hits[j].id == verdict->hits[i].id)
            return true;
    return verdict->is_disruptive && verdict->hits[i].id == verdict->by.id;
}

struct slice
waf_record_words(struct exchange *ex, const char *did, const struct waf_verdict *verdict)
{
    unsigned kept = verdict->hit_count < WAF_HITS_MAX ? verdict->hit_count : WAF_HITS_MAX;
    char words[WORDS_BYTES], *at = words, *end = words + sizeof(words);
    const char *between = ": ";

    at += snprintf(at, (size_t)(end - at), "%s by rule %u", did, verdict->by.id);
    for (unsigned i = 0; i < kept && end - at > 24; i++) {
        if (is_told(verdict, i))
            continue;
        at += snprintf(at, (size_t)(end - at), "%s%u", between, verdict->hits[i].id);
        between = ", ";
    }
    return arena_copy(&ex->arena, slice_make(words, (size_t)(at - words)));
}

/* ---- JSON */

/* One line that grows. */
struct line {
    char *at, *limit;
    bool is_full;
};

static void
put(struct line *line, const char *text)
{
    size_t bytes = strlen(text);

    if ((size_t)(line->limit - line->at) < bytes + SPARE) {
        line->is_full = true;
        return;
    }
    memcpy(line->at, text, bytes);
    line->at += bytes;
}

static void
put_escaped(struct line *line, struct slice value)
{
    bool is_cut = false;

    if (value.bytes > VALUE_MAX)
        value.bytes = VALUE_MAX;
    if (line->limit - line->at < SPARE) {
        line->is_full = true;
        return;
    }
    line->at = escape_put(ESCAPE_JSON, line->at, line->limit - SPARE / 2, value, &is_cut);
    line->is_full |= is_cut;
}

/* start: `,"host":"`. Values that are not known are left out. */
static void
put_value(struct line *line, const char *start, struct slice value)
{
    if (value.bytes == 0)
        return;
    put(line, start);
    put_escaped(line, value);
    put(line, "\"");
}

static void
put_number(struct line *line, const char *start, uint64_t number)
{
    put(line, start);
    if (!line->is_full)
        line->at = text_u64(line->at, number);
}

static void
put_hit(struct line *line, const struct waf_hit *hit)
{
    put_number(line, "\"rule\":", hit->id);
    put_value(line, ",\"message\":\"", slice_of(hit->message));
    put_value(line, ",\"where\":\"", slice_of(hit->where));
}

static void
put_hits(struct line *line, const struct waf_verdict *verdict)
{
    unsigned kept = verdict->hit_count < WAF_HITS_MAX ? verdict->hit_count : WAF_HITS_MAX;

    put(line, ",\"hits\":[");
    for (unsigned i = 0; i < kept; i++) {
        put(line, i > 0 ? ",{" : "{");
        put_hit(line, &verdict->hits[i]);
        put(line, "}");
    }
    put(line, "]");
    if (verdict->hit_count > kept)
        put_number(line, ",\"more\":", verdict->hit_count - kept);
}

static struct slice
name_of(const char *name)
{
    return slice_of(name != NULL ? name : "");
}

static void
put_exchange(struct line *line, const struct waf_conf *conf, const struct exchange *ex)
{
    char client[IP_TEXT_BYTES], id[17];
    size_t bytes = log_privacy_client_text(&conf->audit->privacy, &ex->client_ip, client);

    put_value(line, ",\"id\":\"", slice_make(id, (size_t)(text_hex64(id, ex->id) - id)));
    put_value(line, ",\"client\":\"", slice_make(client, bytes));
    put_value(line, ",\"listener\":\"", name_of(ex->listener->name));
    put_value(line, ",\"site\":\"", name_of(ex->site != NULL ? ex->site->name : NULL));
    put_value(line, ",\"route\":\"", name_of(ex->route != NULL ? ex->route->name : NULL));
    put_value(line, ",\"method\":\"", ex->request.method_name);
    put_value(line, ",\"host\":\"", ex->request.host);
    put_value(line, ",\"path\":\"", ex->request.path);
}

void
waf_record_audit(const struct waf_conf *conf, struct exchange *ex, enum waf_side side,
                 const char *did, const struct waf_verdict *verdict)
{
    uint64_t wall_ms = loop_wall_ms(ex->worker->loop);
    char time[32];
    struct line line;
    size_t room;
    char *start;

    if (conf->audit_sink == NULL)
        return;
    start = log_begin(conf->audit_sink, LEVEL_INFO, wall_ms, &room);
    if (start == NULL)
        return;
    line = (struct line){ start, start + room, room < 2 * SPARE };
    put_value(&line, "{\"time\":\"",
              slice_make(time, (size_t)(text_time_iso(time, wall_ms) - time)));
    put_value(&line, ",\"event\":\"", slice_of(did));
    put_value(&line, ",\"side\":\"",
              side == WAF_REQUEST ? SLICE("request") : SLICE("response"));
    put_exchange(&line, conf, ex);
    if (verdict->is_disruptive) {
        put_number(&line, ",\"status\":", verdict->status);
        put(&line, ",");
        put_hit(&line, &verdict->by);
    }
    put_hits(&line, verdict);
    put(&line, "}");
    if (line.is_full)
        log_abandon();
    else
        log_commit((size_t)(line.at - start));
}
