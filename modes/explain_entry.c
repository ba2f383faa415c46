/* SPDX-License-Identifier: BSD-2-Clause */
/* explain_entry.c - a record of the trail, for people. What is in it was chosen by
 * strangers, and is escaped.
 */
#include "config.h"

#include "modes/explain.h"

#include "modes/trail.h"
#include "server/http/status.h"
#include "server/log/escape.h"

#include <inttypes.h>

/* Left out when it is empty. */
static void
line(FILE *out, const char *name, struct slice text)
{
    char buffer[ESCAPE_VALUE_MAX];
    bool is_cut;
    char *end;

    if (text.bytes == 0)
        return;
    end = escape_put(ESCAPE_QUOTED, buffer, buffer + sizeof(buffer), text, &is_cut);
    fprintf(out, "%-10s %.*s\n", name, (int)(end - buffer), buffer);
}

static void
put_answer(FILE *out, const struct trail_entry *entry)
{
    const char *end = end_reason_word(entry->end);

    if (entry->is_tunnel)
        fprintf(out, "TUNNEL, %s", end);
    else if (entry->status > 0)
        fprintf(out, "%u %.*s, %s", entry->status, SLICE_ARG(status_reason(entry->status)), end);
    else
        fprintf(out, "no answer, %s", end);
    for (unsigned i = entry->decision_count; i-- > 0;) {
        const struct trail_decision *decision = &entry->decisions[i];

        if (decision->kind != DECISION_DENY)
            continue;
        if (decision->rule.bytes > 0)
            fprintf(out, " by rule %.*s", SLICE_ARG(decision->rule));
        if (decision->line > 0)
            fprintf(out, " (%.*s:%u)", SLICE_ARG(decision->file), decision->line);
        break;
    }
    fprintf(out, "\n\n");
}

static void
put_time(FILE *out, const struct trail_entry *entry)
{
    char text[32];
    char *end = text_time_iso(text, entry->wall_ms);

    fprintf(out, "%-10s %.*s, %" PRIu64 " ms after it began\n",
            entry->is_tunnel && entry->end == END_DONE ? "noted" : "ended", (int)(end - text),
            text, entry->duration_ms);
}

static void
put_decision(FILE *out, const struct trail_decision *decision, int width)
{
    char place[TRAIL_TEXT_MAX + 16] = "built in", text[TRAIL_TEXT_MAX * 4 + ESCAPE_ROOM_MIN];
    bool is_cut;
    char *end = escape_put(ESCAPE_QUOTED, text, text + sizeof(text), decision->what, &is_cut);

    if (decision->line > 0)
        snprintf(place, sizeof(place), "%.*s:%u", SLICE_ARG(decision->file), decision->line);
    fprintf(out, "  %s  %-8s  %-*s  %.*s%s%.*s\n", decision->kind == DECISION_DENY ? "=>" : "  ",
            trail_kind_word(decision->kind), width, place, SLICE_ARG(decision->rule),
            decision->rule.bytes > 0 ? ": " : "", (int)(end - text), text);
}

static void
put_decisions(FILE *out, const struct trail_entry *entry)
{
    int width = 8;

    for (unsigned i = 0; i < entry->decision_count; i++) {
        const struct trail_decision *decision = &entry->decisions[i];
        int bytes = decision->line > 0 ? snprintf(NULL, 0, "%.*s:%u", SLICE_ARG(decision->file),
                                                  decision->line)
                                       : 0;

        if (bytes > width)
            width = bytes;
    }
    fprintf(out, "\ndecisions\n");
    for (unsigned i = 0; i < entry->decision_count; i++)
        put_decision(out, &entry->decisions[i], width);
    if (entry->decision_count == 0)
        fprintf(out, "      none: nothing stood in its way\n");
}

void
explain_entry_text(FILE *out, const struct trail_entry *entry)
{
    char upstream[IP_TEXT_BYTES + 32] = "";

    put_answer(out, entry);
    fprintf(out, "%-10s %016" PRIx64 "\n", "id", entry->id);
    line(out, "method", entry->method);
    line(out, "url", entry->url);
    line(out, "listener", entry->listener);
    line(out, "client", entry->client);
    line(out, "user", entry->user);
    put_time(out, entry);
    line(out, "site", entry->site);
    line(out, "route", entry->route);
    line(out, "group", entry->group);
    line(out, "endpoint", entry->endpoint);
    if (entry->upstream.family != 0)
        ip_port_text(&entry->upstream, upstream);
    if (entry->upstream_status > 0)
        snprintf(upstream + strlen(upstream), 24, " said %u", entry->upstream_status);
    line(out, "upstream", slice_of(upstream));
    line(out, "cache", entry->cache);
    line(out, "tags", entry->tags);
    put_decisions(out, entry);
    if (entry->is_cut)
        fprintf(out, "\nSome of it was too long to be kept whole.\n");
}
