/* SPDX-License-Identifier: BSD-2-Clause */
/* ban_topic.c - what `bascule ban` asks for, and what is told of bans elsewhere. */
#include "config.h"

#include "server/policy/ban_topic.h"

#include "server/admin/metrics.h"
#include "server/admin/status.h"
#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/log/escape.h"
#include "server/policy/ban_inside.h"
#include "server/snapshot.h"

#include <inttypes.h>
#include <stdlib.h>

#define WORDS_MAX 6 /* of all requests but import */
#define IMPORT_ARENA_BYTES 65536

/* One request, and its answer so far. */
struct asked {
    const struct config_list *bans;
    FILE *out;
    bool is_refused;
};

/* ---- requests: words */

static bool
next_word(struct slice *rest, struct slice *word)
{
    ptrdiff_t tab = slice_find(*rest, '\t');

    if (rest->data == NULL)
        return false;
    *word = slice_make(rest->data, tab >= 0 ? (size_t)tab : rest->bytes);
    *rest = tab >= 0 ? slice_skip(*rest, word->bytes + 1) : slice_make(NULL, 0);
    return true;
}

static unsigned
split(struct slice rest, struct slice words[WORDS_MAX])
{
    unsigned count = 0;

    while (count < WORDS_MAX && next_word(&rest, &words[count]))
        count++;
    return rest.data == NULL ? count : 0;
}

static void
refuse(struct asked *asked, const struct err *err)
{
    fprintf(asked->out, "%s\n", err->text);
    asked->is_refused = true;
}

/* The table of that name; of none the only one. NULL: refused. */
static const struct ban_conf *
find_table(struct asked *asked, struct slice name)
{
    struct err err;

    for (size_t i = 0; i < asked->bans->count; i++) {
        const struct ban_conf *conf = asked->bans->items[i];

        if (slice_equal(name, slice_of(conf->name)) ||
            (name.bytes == 0 && asked->bans->count == 1))
            return conf;
    }
    if (asked->bans->count == 0)
        err_set(&err, "the configuration has no bans");
    else if (name.bytes == 0)
        err_set(&err, "there are %zu tables of bans: --table NAME says which",
                asked->bans->count);
    else
        err_set(&err, "there is no \"%.*s\" in bans", SLICE_ARG(name));
    refuse(asked, &err);
    return NULL;
}

/* ---- list */

struct listing {
    FILE *out;
    const char *table;
    bool is_empty;
};

static void
list_json(void *arg, const struct ban_record *record)
{
    const struct listing *listing = arg;

    ban_record_write(listing->out, listing->table, record);
}

static const char *
ordinal(unsigned number)
{
    static const char *const ends[] = { "th", "st", "nd", "rd" };

    return number % 10 < ARRAY_COUNT(ends) && number / 10 % 10 != 1 ? ends[number % 10] : "th";
}

static void
list_text(void *arg, const struct ban_record *record)
{
    struct listing *listing = arg;
    char until[32]; /* to the second: bans may be that short */

    listing->is_empty = false;
    text_time_iso(until, record->until_ms);
    fprintf(listing->out, "%-12s %-24s until %.10s %.8s UTC", listing->table,
            log_escape(record->key), until, until + 11);
    fprintf(listing->out, "  %s, %u%s time\n", log_escape(record->cause), record->times,
            ordinal(record->times));
}

static void
list(struct asked *asked, struct slice name, bool is_json)
{
    struct listing listing = { .out = asked->out, .is_empty = true };

    if (name.bytes > 0 && find_table(asked, name) == NULL)
        return;
    for (size_t i = 0; i < asked->bans->count; i++) {
        const struct ban_conf *conf = asked->bans->items[i];

        listing.table = conf->name;
        if (name.bytes == 0 || slice_equal(name, slice_of(conf->name)))
            ban_each(conf->table, clock_wall_ms(), is_json ? list_json : list_text, &listing);
    }
    if (!is_json && listing.is_empty)
        fprintf(asked->out, "nobody is banned%s\n",
                asked->bans->count > 0 ? "" : ": the option bans names no table");
}

/* ---- add, remove */

static void
add(struct asked *asked, const struct slice words[WORDS_MAX])
{
    const struct ban_conf *conf = find_table(asked, words[2]);
    uint64_t now_ms = clock_wall_ms();
    struct ban_key key;
    struct err err;
    uint32_t ms;

    if (conf == NULL)
        return;
    ms = conf->time_ms;
    if (ban_key_parse(conf, words[3], &key, &err) < 0 ||
        (words[4].bytes > 0 && option_parse_time(words[4], &ms, &err) < 0)) {
        refuse(asked, &err);
    } else if (ms == 0) {
        err_set(&err, "\"%.*s\" is no time at all", SLICE_ARG(words[4]));
        refuse(asked, &err);
    } else {
        ban_set(conf, &key, now_ms, now_ms + ms, 0,
                words[5].bytes > 0 ? words[5] : SLICE("by hand"));
        fprintf(asked->out, "banned by %s: %.*s\n", conf->name, SLICE_ARG(words[3]));
    }
}

static void
lift(struct asked *asked, const struct slice words[WORDS_MAX])
{
    const struct ban_conf *conf = find_table(asked, words[2]);
    struct ban_key key;
    struct err err;

    if (conf == NULL)
        return;
    if (ban_key_parse(conf, words[3], &key, &err) < 0) {
        refuse(asked, &err);
    } else if (!ban_lift(conf, &key, clock_wall_ms())) {
        err_set(&err, "\"%.*s\" is not banned by %s", SLICE_ARG(words[3]), conf->name);
        refuse(asked, &err);
    } else {
        fprintf(asked->out, "banned by %s no more: %.*s\n", conf->name, SLICE_ARG(words[3]));
    }
}

/* ---- import */

static bool
import_one(struct asked *asked, struct slice table, struct slice line, struct arena *arena)
{
    const struct ban_conf *conf;
    struct err err;
    bool is_set;

    if (table.bytes == 0) {
        table = ban_record_table(line, arena);
        if (table.data == NULL)
            table = slice_make("", 0);
    }
    conf = find_table(asked, table);
    if (conf == NULL)
        return false;
    if (ban_record_read(line, conf, clock_wall_ms(), &is_set, &err) == 0)
        return is_set;
    refuse(asked, &err);
    return false;
}

/* Stops at the first line that is wrong: what came before it holds. */
static void
import(struct asked *asked, struct slice rest)
{
    struct slice word, table;
    unsigned count = 0;
    struct arena arena;

    for (unsigned i = 0; i < 3; i++)
        if (!next_word(&rest, &table))
            return;
    arena_init(&arena, NULL, IMPORT_ARENA_BYTES);
    while (!asked->is_refused && next_word(&rest, &word))
        count += import_one(asked, table, word, &arena);
    arena_fini(&arena);
    if (!asked->is_refused)
        fprintf(asked->out, "%u\n", count);
}

/* ---- the topic */

/* False: it is no request of ours. */
static bool
carry_out(struct asked *asked, struct slice request)
{
    struct slice words[WORDS_MAX];
    unsigned count = split(request, words);

    if (slice_starts_with(request, SLICE("ban\timport\t")))
        import(asked, request);
    else if (count == 4 && slice_equal(words[1], SLICE("list")))
        list(asked, words[2], slice_equal(words[3], SLICE("json")));
    else if (count == 6 && slice_equal(words[1], SLICE("add")))
        add(asked, words);
    else if (count == 4 && slice_equal(words[1], SLICE("remove")))
        lift(asked, words);
    else
        return false;
    return true;
}

static bool
ask(const struct topic_home *home, uint64_t ticket, struct slice request)
{
    char *text = NULL;
    size_t bytes = 0;
    struct asked asked = { .bans = &home->snapshot->conf.bans,
                           .out = open_memstream(&text, &bytes) };
    bool is_known;

    if (asked.out == NULL)
        return false;
    is_known = carry_out(&asked, request);
    fclose(asked.out);
    if (is_known)
        home->answer(home->arg, ticket, !asked.is_refused, text, text != NULL ? bytes : 0);
    else
        free(text);
    return is_known;
}

static render_fn *
page(struct slice request)
{
    (void)request;
    return NULL;
}

/* ---- numbers */

static void
write_text(FILE *out, const struct status_facts *facts)
{
    const struct config_list *bans = &facts->snapshot->conf.bans;

    for (size_t i = 0; i < bans->count; i++) {
        const struct ban_conf *conf = bans->items[i];
        struct ban_facts numbers;

        ban_facts(conf->table, clock_wall_ms(), &numbers);
        fprintf(out, "%-12s %s: %" PRIu64 " banned now, %" PRIu64 " so far\n",
                i == 0 ? "bans" : "", conf->name, numbers.banned, numbers.bans);
    }
}

static void
write_json(FILE *out, const struct status_facts *facts)
{
    const struct config_list *bans = &facts->snapshot->conf.bans;

    fprintf(out, ",\"bans\":[");
    for (size_t i = 0; i < bans->count; i++) {
        const struct ban_conf *conf = bans->items[i];
        struct ban_facts numbers;

        ban_facts(conf->table, clock_wall_ms(), &numbers);
        fprintf(out, "%s{\"name\":", i > 0 ? "," : "");
        status_json_string(out, conf->name);
        fprintf(out, ",\"banned\":%" PRIu64 ",\"bans\":%" PRIu64 ",\"lifted\":%" PRIu64
                ",\"evicted\":%" PRIu64 "}", numbers.banned, numbers.bans, numbers.lifted,
                numbers.evicted);
    }
    fprintf(out, "]");
}

static const struct {
    const char *name, *kind, *help;
    size_t offset; /* in struct ban_facts */
} metrics[] = {
    { "bascule_ban_keys", "gauge", "Keys that are banned.", offsetof(struct ban_facts, banned) },
    { "bascule_bans_total", "counter", "Bans so far.", offsetof(struct ban_facts, bans) },
    { "bascule_bans_lifted_total", "counter", "Bans ended by hand.",
      offsetof(struct ban_facts, lifted) },
    { "bascule_bans_evicted_total", "counter", "Bans that ended early, for others.",
      offsetof(struct ban_facts, evicted) },
};

static void
write_metrics(FILE *out, const struct status_facts *facts)
{
    const struct config_list *bans = &facts->snapshot->conf.bans;

    for (size_t m = 0; bans->count > 0 && m < ARRAY_COUNT(metrics); m++) {
        metrics_family(out, metrics[m].name, metrics[m].kind, metrics[m].help);
        for (size_t i = 0; i < bans->count; i++) {
            const struct ban_conf *conf = bans->items[i];
            struct ban_facts numbers;
            uint64_t value;

            ban_facts(conf->table, clock_wall_ms(), &numbers);
            memcpy(&value, (const char *)&numbers + metrics[m].offset, sizeof(value));
            fprintf(out, "%s{ban=\"", metrics[m].name);
            metrics_label(out, conf->name);
            fprintf(out, "\"} %" PRIu64 "\n", value);
        }
    }
}

const struct topic ban_topic = {
    .word = "ban",
    .page = page,
    .ask = ask,
    .status_text = write_text,
    .status_json = write_json,
    .metrics = write_metrics,
};
