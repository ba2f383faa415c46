/* SPDX-License-Identifier: BSD-2-Clause */
/* waf.c - a web application firewall: rules of libmodsecurity, the OWASP core rule set among
 * them, say of requests and responses that they must not pass.
 *
 *     request_head: content is held --all of it--> judged by a thread --> passes, or is refused
 *     fetch_head:   the same of responses, by option
 *
 * Nothing goes upstream before the verdict. What cannot be judged (too long, encoded, too
 * much to do) does not pass, unless an option says so.
 */
#include "config.h"

#include "filters/waf.h"

#include "filters/waf_inside.h"

enum stage { STAGE_NEW, STAGE_HOLDING, STAGE_JUDGING, STAGE_DONE };

/* Of one side. */
struct half {
    enum stage stage;
    struct hold hold;
    bool holds;
};

struct state {
    struct waf_case *of; /* NULL: nothing was asked */
    struct half halves[2]; /* by enum waf_side */
};

enum event { PASSED, BLOCKED, DETECTED, MATCHED, REFUSED, UNREAD, BUSY };

static struct filter_counts counts = {
    .events = { [PASSED] = "passed", [BLOCKED] = "blocked", [DETECTED] = "detected",
                [MATCHED] = "matched", [REFUSED] = "refused", [UNREAD] = "unread",
                [BUSY] = "busy" },
};

/* ---- verdicts */

static enum filter_verdict
refuse(const struct waf_conf *conf, struct exchange *ex, unsigned status, const char *what,
       const char *why)
{
    filter_count(ex, &counts, REFUSED, 1);
    exchange_decide(ex, DECISION_FILTER, &conf->filter.place, "waf: refused: %s", what);
    exchange_answer(ex, status, END_DENIED, why);
    return FILTER_ANSWER;
}

static enum filter_verdict
be_busy(const struct waf_conf *conf, struct exchange *ex)
{
    static const char why[] = "Too much is under way here. Please try again.";

    filter_count(ex, &counts, BUSY, 1);
    counter_up(ex->worker->counters, limits_hit);
    exchange_decide_filter(ex, DECISION_FAILURE, NULL, &conf->filter.place,
                           "waf: too much is to be judged");
    if (conf->mode == WAF_DETECT)
        return FILTER_NEXT;
    if (ex->solo != NULL)
        ex->failure = (struct failure){ END_LIMIT, 503, NULL, why };
    exchange_answer(ex, 503, END_LIMIT, why);
    return FILTER_ANSWER;
}

static unsigned
status_of(const struct waf_conf *conf, const struct waf_verdict *verdict)
{
    if (conf->status != 0)
        return (unsigned)conf->status;
    return verdict->status >= 400 && verdict->status <= 599 ? verdict->status : 403;
}

/* Of a rule with the action redirect: no more than a URI reference may hold. */
static bool
is_location(const char *location)
{
    if (location == NULL || location[0] == '\0')
        return false;
    for (; *location != '\0'; location++)
        if (*location <= ' ' || *location > '~')
            return false;
    return true;
}

static void
answer(const struct waf_conf *conf, struct exchange *ex, const struct waf_verdict *verdict)
{
    static const char why[] = "This was refused by the firewall of the site.";
    unsigned status = status_of(conf, verdict);

    if (ex->solo != NULL) /* who waits for the fetch is told so */
        ex->failure = (struct failure){ END_DENIED, (uint16_t)status, NULL, why };
    if (!is_location(verdict->location)) {
        exchange_answer(ex, status, END_DENIED, why);
        return;
    }
    status = verdict->status >= 300 && verdict->status < 400 ? verdict->status : 302;
    exchange_answer_with(ex, status, END_DENIED, NULL, slice_make(NULL, 0));
    fields_add(&ex->response.fields, &ex->arena, FIELD_LOCATION,
               arena_copy(&ex->arena, slice_of(verdict->location)));
    fields_add(&ex->response.fields, &ex->arena, FIELD_CACHE_CONTROL, SLICE("no-store"));
}

/* The page shows the rule of a denial that is told before it is made. */
static enum filter_verdict
block(const struct waf_conf *conf, struct exchange *ex, const struct waf_verdict *verdict)
{
    const char *rule = arena_printf(&ex->arena, "waf:%u", verdict->by.id).data;
    struct slice words = waf_record_words(ex, "blocked", verdict);

    filter_count(ex, &counts, BLOCKED, 1);
    if (!conf->tells)
        answer(conf, ex, verdict);
    exchange_decide_filter(ex, DECISION_DENY, rule, &conf->filter.place, "waf: %.*s",
                           SLICE_ARG(words));
    if (conf->tells)
        answer(conf, ex, verdict);
    return FILTER_ANSWER;
}

static enum filter_verdict
conclude(const struct waf_conf *conf, struct exchange *ex, enum waf_side side,
         const struct waf_verdict *verdict)
{
    bool blocks = verdict->is_disruptive && conf->mode == WAF_BLOCK;
    struct slice words;

    if (!verdict->is_disruptive && verdict->hit_count == 0) {
        filter_count(ex, &counts, PASSED, 1);
        return FILTER_NEXT;
    }
    waf_record_audit(conf, ex, side,
                     blocks ? "blocked" : verdict->is_disruptive ? "detected" : "matched", verdict);
    if (blocks)
        return block(conf, ex, verdict);
    filter_count(ex, &counts, verdict->is_disruptive ? DETECTED : MATCHED, 1);
    if (verdict->is_disruptive) {
        words = waf_record_words(ex, "would be blocked", verdict);
        exchange_decide(ex, DECISION_FILTER, &conf->filter.place, "waf: %.*s", SLICE_ARG(words));
    }
    return FILTER_NEXT;
}

/* ---- one side */

static enum filter_verdict
ask(const struct waf_conf *conf, struct state *state, struct exchange *ex, enum waf_side side,
    bool is_unread)
{
    struct half *half = &state->halves[side];
    bool is_final = side == WAF_RESPONSE || conf->response_bytes == 0;

    if (state->of == NULL)
        state->of = waf_case_new(conf->compiled, ex, conf->wait_ms);
    half->stage = STAGE_DONE;
    if (is_unread)
        filter_count(ex, &counts, UNREAD, 1);
    if (state->of == NULL || !waf_case_ask(state->of, side, half->holds && !is_unread
                                                                ? &half->hold : NULL,
                                           is_unread, is_final))
        return be_busy(conf, ex);
    half->stage = STAGE_JUDGING;
    return FILTER_WAIT;
}

/* Content could not be held: it was cut short, or there is no memory for it now. */
static enum filter_verdict
without_hold(const struct waf_conf *conf, struct state *state, struct exchange *ex,
             enum waf_side side)
{
    struct half *half = &state->halves[side];

    if (conf->mode == WAF_DETECT && half->hold.state == HOLD_REFUSED)
        return ask(conf, state, ex, side, true);
    half->stage = STAGE_DONE;
    hold_answer(ex, &half->hold);
    return FILTER_ANSWER;
}

/* Asked again while it waits, or when the verdict is there. */
static enum filter_verdict
proceed(const struct waf_conf *conf, struct state *state, struct exchange *ex, enum waf_side side)
{
    const struct waf_verdict *verdict;

    if (state->halves[side].stage == STAGE_DONE)
        return FILTER_NEXT;
    verdict = waf_case_verdict(state->of);
    if (verdict == NULL)
        return FILTER_WAIT;
    state->halves[side].stage = STAGE_DONE;
    return waf_case_is_late(state->of) ? be_busy(conf, ex) : conclude(conf, ex, side, verdict);
}

/* ---- requests */

static enum filter_verdict
pass_or_refuse(const struct waf_conf *conf, struct state *state, struct exchange *ex, int over,
               unsigned status, const char *what, const char *why)
{
    if (over == WAF_OVER_PASS)
        return ask(conf, state, ex, WAF_REQUEST, true);
    state->halves[WAF_REQUEST].stage = STAGE_DONE;
    return refuse(conf, ex, status, what, why);
}

static enum filter_verdict
too_long(const struct waf_conf *conf, struct state *state, struct exchange *ex)
{
    return pass_or_refuse(conf, state, ex, conf->larger, 413, "content is over request_body",
                          "The content of the request is longer than can be checked here.");
}

static enum filter_verdict
hold(const struct waf_conf *conf, struct state *state, struct exchange *ex)
{
    struct half *half = &state->halves[WAF_REQUEST];

    half->stage = STAGE_HOLDING;
    half->holds = true;
    if (!hold_request(&half->hold, ex, conf->request_bytes))
        return FILTER_WAIT;
    if (half->hold.state == HOLD_WHOLE)
        return ask(conf, state, ex, WAF_REQUEST, false);
    if (half->hold.state == HOLD_PART)
        return too_long(conf, state, ex);
    return without_hold(conf, state, ex, WAF_REQUEST);
}

/* By any line of the field: those who read it may take another one than the first. */
static bool
is_encoded(const struct fields *fields)
{
    const struct field *field = NULL;

    while ((field = fields_next(fields, FIELD_CONTENT_ENCODING, field)) != NULL)
        if (field->value.bytes > 0 && !slice_equal_nocase(field->value, SLICE("identity")))
            return true;
    return false;
}

static enum filter_verdict
begin_request(const struct waf_conf *conf, struct state *state, struct exchange *ex)
{
    if (conf->response_bytes > 0) { /* it is whole content that is judged, and readable */
        fields_remove(&ex->request.fields, FIELD_RANGE);
        fields_remove(&ex->request.fields, FIELD_IF_RANGE);
        fields_remove(&ex->request.fields, FIELD_ACCEPT_ENCODING);
    }
    if (ex->request.body == NULL)
        return ask(conf, state, ex, WAF_REQUEST, false);
    if (conf->request_bytes == 0)
        return ask(conf, state, ex, WAF_REQUEST, true);
    if (is_encoded(&ex->request.fields))
        return pass_or_refuse(conf, state, ex, conf->encoded, 415, "content is encoded",
                              "Encoded content cannot be checked here: please send it plainly.");
    if (ex->request.length != LENGTH_UNKNOWN && ex->request.length > conf->request_bytes)
        return too_long(conf, state, ex);
    return hold(conf, state, ex);
}

/* CONNECT has nothing that rules could judge, and a purge that is let would only be refused for
 * its method. */
static enum filter_verdict
request_head(const void *arg, void *memory, struct exchange *ex)
{
    struct state *state = memory;

    if (ex->request.method == METHOD_CONNECT || ex->is_purge)
        return FILTER_NEXT;
    switch (state->halves[WAF_REQUEST].stage) {
    case STAGE_NEW:
        return begin_request(arg, state, ex);
    case STAGE_HOLDING:
        return hold(arg, state, ex);
    case STAGE_JUDGING:
    case STAGE_DONE:
        break;
    }
    return proceed(arg, state, ex, WAF_REQUEST);
}

static struct source *
request_body(const void *arg, void *memory, struct exchange *ex, struct source *inner)
{
    struct half *half = &((struct state *)memory)->halves[WAF_REQUEST];

    (void)arg;
    (void)ex;
    return half->holds ? hold_source(&half->hold) : inner;
}

/* ---- responses */

static bool
is_judged_type(const struct waf_conf *conf, const struct exchange *ex)
{
    struct slice type = fields_get(&ex->response.fields, FIELD_CONTENT_TYPE);
    size_t bytes = 0;

    while (bytes < type.bytes && strchr("; \t", type.data[bytes]) == NULL)
        bytes++;
    type.bytes = bytes;
    for (size_t i = 0; i < conf->response_types.count; i++)
        if (slice_equal_nocase(type, conf->response_types.items[i]))
            return true;
    return false;
}

static enum filter_verdict
hold_answered(const struct waf_conf *conf, struct state *state, struct exchange *ex)
{
    struct half *half = &state->halves[WAF_RESPONSE];

    half->stage = STAGE_HOLDING;
    half->holds = true;
    if (!hold_response(&half->hold, ex, conf->response_bytes))
        return FILTER_WAIT;
    if (half->hold.state == HOLD_WHOLE || half->hold.state == HOLD_PART)
        return ask(conf, state, ex, WAF_RESPONSE, half->hold.state == HOLD_PART);
    return without_hold(conf, state, ex, WAF_RESPONSE);
}

/* Without content, or with such as is not judged, its head is. */
static enum filter_verdict
begin_response(const struct waf_conf *conf, struct state *state, struct exchange *ex)
{
    uint64_t length = ex->response.length;

    if (ex->response.body == NULL || !is_judged_type(conf, ex))
        return ask(conf, state, ex, WAF_RESPONSE, false);
    if (is_encoded(&ex->response.fields) ||
        (length != LENGTH_UNKNOWN && length > conf->response_bytes))
        return ask(conf, state, ex, WAF_RESPONSE, true);
    return hold_answered(conf, state, ex);
}

static enum filter_verdict
fetch_head(const void *arg, void *memory, struct exchange *ex)
{
    const struct waf_conf *conf = arg;
    struct state *state = memory;

    if (ex->response.status < 200 || ex->request.method == METHOD_CONNECT)
        return FILTER_NEXT;
    switch (state->halves[WAF_RESPONSE].stage) {
    case STAGE_NEW:
        return begin_response(conf, state, ex);
    case STAGE_HOLDING:
        return hold_answered(conf, state, ex);
    case STAGE_JUDGING:
    case STAGE_DONE:
        break;
    }
    return proceed(conf, state, ex, WAF_RESPONSE);
}

static struct source *
fetch_body(const void *arg, void *memory, struct exchange *ex, struct source *inner)
{
    struct half *half = &((struct state *)memory)->halves[WAF_RESPONSE];

    (void)arg;
    (void)ex;
    return half->holds ? hold_source(&half->hold) : inner;
}

/* ---- */

static void
end(const void *arg, void *memory, struct exchange *ex)
{
    struct state *state = memory;

    (void)arg;
    (void)ex;
    waf_case_end(state->of);
    state->of = NULL;
}

static bool
works_on_fetch(const void *arg)
{
    return ((const struct waf_conf *)arg)->response_bytes > 0;
}

const struct filter_ops waf_filter = {
    .name = "waf",
    .text = "A web application firewall: rules of ModSecurity, with the OWASP core rule set. It "
            "needs libmodsecurity, which is loaded only where there is such a filter.",
    .options = waf_options,
    .conf_bytes = sizeof(struct waf_conf),
    .state_bytes = sizeof(struct state),
    .counts = &counts,
    .finish = waf_finish,
    .adopt = waf_adopt,
    .check = waf_check,
    .works_on_fetch = works_on_fetch,
    .request_head = request_head,
    .request_body = request_body,
    .fetch_head = fetch_head,
    .fetch_body = fetch_body,
    .end = end,
};
