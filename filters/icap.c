/* SPDX-License-Identifier: BSD-2-Clause */
/* icap.c - shows requests and responses to an ICAP server, which may change them, answer in
 * place of the origin, or leave them as they are (RFC 3507).
 *
 * Requests are shown on their way in (REQMOD), responses with content when they are fetched
 * (RESPMOD): once, then they are stored as the server left them. What it sees are whole
 * contents: ranges are not asked for. Content that never ends, such as a stream of events,
 * is for routes without this filter: the server is asked when the start of it is there.
 */
#include "config.h"

#include "filters/icap.h"

#include "filters/icap_inside.h"
#include "server/http/uri.h"

enum { FAIL_CLOSED, FAIL_OPEN };
enum { LARGER_PASS, LARGER_REFUSE };

static const char *const failure_words[] = { "closed", "open", NULL };
static const char *const larger_words[] = { "pass", "refuse", NULL };

static const struct option options[] = {
    SERVICE_OPTIONS(struct icap_conf, service),
    { .name = "request", .type = OPTION_STRING, .offset = offsetof(struct icap_conf, request),
      .text = "The service that requests are shown to (REQMOD): its name, \"reqmod\", or URL, "
              "\"icap://scan.example/reqmod\". When not given, they are not shown." },
    { .name = "response", .type = OPTION_STRING, .offset = offsetof(struct icap_conf, response),
      .text = "The service that responses are shown to (RESPMOD)." },
    { .name = "preview", .type = OPTION_SIZE, .offset = offsetof(struct icap_conf, preview_bytes),
      .fallback = "1K", .max = 64 * 1024,
      .text = "How much of the content is sent at first, if the service takes previews, and no "
              "more than it wants." },
    { .name = "max_hold", .type = OPTION_SIZE,
      .offset = offsetof(struct icap_conf, max_hold_bytes), .fallback = "1M", .min = 64 * 1024,
      .max = 1024 * 1024 * 1024,
      .text = "Content up to this length is held until the server has answered: it may then be "
              "left as it is, or shown to another server. Longer content flows through." },
    { .name = "max_size", .type = OPTION_SIZE, .offset = offsetof(struct icap_conf, max_bytes),
      .fallback = "0",
      .text = "Content known to be longer than this is not shown; 0: no limit." },
    { .name = "larger", .type = OPTION_ENUM, .offset = offsetof(struct icap_conf, larger),
      .words = larger_words, .fallback = "pass",
      .text = "What becomes of content over max_size: it may pass, or is refused." },
    { .name = "on_failure", .type = OPTION_ENUM, .offset = offsetof(struct icap_conf, on_failure),
      .words = failure_words, .fallback = "closed",
      .text = "When no server answers as it should: closed refuses with 503, open lets pass "
              "what was not shown." },
    { .name = "timeout", .type = OPTION_TIME, .offset = offsetof(struct icap_conf, timeout_ms),
      .fallback = "30s", .min = 1,
      .text = "How long the server may take for nothing: no answer, no more content, nothing "
              "read." },
    { .name = "send_client_ip", .type = OPTION_BOOL,
      .offset = offsetof(struct icap_conf, sends_client_ip), .fallback = "true",
      .text = "Tell the server the client's address: X-Client-IP." },
    { .name = "send_user", .type = OPTION_BOOL, .offset = offsetof(struct icap_conf, sends_user),
      .fallback = "false",
      .text = "Tell the server who the user is: X-Authenticated-User, base64 of Local://NAME." },
    { .name = "send_username", .type = OPTION_BOOL,
      .offset = offsetof(struct icap_conf, sends_username), .fallback = "false",
      .text = "The same as plain text: X-Client-Username." },
    { .name = NULL },
};

enum event { SHOWN, PASSED, MODIFIED, ANSWERED, INFECTED, SKIPPED, FAILED, OPENED };

static struct filter_counts counts = {
    .events = { "shown", "passed", "modified", "answered", "infected", "skipped", "failed",
                "opened" },
};

struct state {
    struct icap_job *jobs[2]; /* by enum icap_side; NULL: nothing was shown */
};

/* ---- configuration */

static bool
is_url_text(const char *text)
{
    for (; *text != '\0'; text++)
        if (*text <= ' ' || *text > '~' || *text == '#')
            return false;
    return true;
}

static int
finish_url(struct icap_target *to, const char *text, struct arena *arena, struct err *err)
{
    struct slice scheme, authority, path, query, host;
    int port;

    if (uri_parse_absolute(slice_of(text), &scheme, &authority, &path, &query) < 0 ||
        !slice_equal_nocase(scheme, SLICE("icap")) || path.bytes < 2 ||
        uri_parse_authority(authority, &host, &port) < 0)
        return err_set(err, "\"%s\" is no URL of a service: expected icap://HOST/SERVICE", text);
    to->uri = text;
    to->host = arena_copy(arena, authority).data;
    return to->host != NULL ? 0 : err_set(err, "no memory");
}

static int
finish_target(struct icap_target *to, const char *name, const char *text,
              const struct service_conf *service, struct arena *arena, struct err *err)
{
    const char *host = service->to.items[0].data;

    if (text == NULL)
        return 0;
    if (!is_url_text(text) || text[0] == '\0')
        return err_set(err, "%s: \"%s\" is no name of a service: expected visible characters",
                       name, text);
    if (strstr(text, "://") != NULL)
        return finish_url(to, text, arena, err) < 0 ? err_prefix(err, "%s: ", name) : 0;
    to->host = strncmp(host, "unix:", 5) == 0 ? "localhost" : host;
    to->uri = arena_printf(arena, "icap://%s/%s", to->host, text + (text[0] == '/')).data;
    return to->uri != NULL ? 0 : err_set(err, "no memory");
}

static int
finish(void *arg, struct conf *all, struct arena *arena, struct err *err)
{
    struct icap_conf *conf = arg;

    (void)all;
    if (conf->request == NULL && conf->response == NULL)
        return err_set(err, "nothing is shown to the service: expected request, response or both");
    if (service_finish(&conf->service, 1344, arena, err) < 0 ||
        finish_target(&conf->to[ICAP_REQUEST], "request", conf->request, &conf->service, arena,
                      err) < 0)
        return -1;
    return finish_target(&conf->to[ICAP_RESPONSE], "response", conf->response, &conf->service,
                         arena, err);
}

/* ---- what becomes of a message */

static const char *
verb(const struct icap_job *job)
{
    return job->side == ICAP_REQUEST ? "REQMOD" : "RESPMOD";
}

/* What the server says that it has found; data NULL: it does not. */
static struct slice
finding(const struct icap_job *job)
{
    static const struct slice names[] = {
        SLICE_INIT("X-Infection-Found"), SLICE_INIT("X-Virus-ID"),
        SLICE_INIT("X-Violations-Found"), SLICE_INIT("X-Response-Info"),
    };
    const struct field *field = NULL;

    for (unsigned i = 0; i < ARRAY_COUNT(names) && field == NULL; i++)
        field = fields_find_name(&job->reader.reply.fields, names[i]);
    return field != NULL ? slice_make(field->value.data,
                                      field->value.bytes < 200 ? field->value.bytes : 200)
                         : slice_make(NULL, 0);
}

static bool
is_infected(const struct icap_job *job)
{
    const struct fields *fields = &job->reader.reply.fields;

    return fields_find_name(fields, SLICE("X-Infection-Found")) != NULL ||
           fields_find_name(fields, SLICE("X-Virus-ID")) != NULL;
}

static void
decide(const struct icap_job *job, const char *what)
{
    struct slice found = finding(job);

    exchange_decide(job->ex, DECISION_FILTER, &job->conf->filter.place, "icap: %s %s%s%.*s",
                    verb(job), what, found.data != NULL ? ": " : "", SLICE_ARG(found));
}

/* Those who wait for what is fetched for the cache are told the failure. */
static enum filter_verdict
answer(struct exchange *ex, const struct failure *failure)
{
    if (ex->solo != NULL)
        ex->failure = *failure;
    exchange_answer(ex, failure->status, failure->reason, failure->detail);
    return FILTER_ANSWER;
}

static enum filter_verdict
fail(struct icap_job *job, const char *why)
{
    static const struct failure unchecked = {
        END_FILTER_FAILED, 503, NULL, "The content could not be checked. Please try again.",
    };
    struct exchange *ex = job->ex;
    bool is_open = job->conf->on_failure == FAIL_OPEN && !job->is_consumed;

    icap_job_end(job);
    filter_count(ex, &counts, is_open ? OPENED : FAILED, 1);
    exchange_decide_filter(ex, is_open ? DECISION_FILTER : DECISION_FAILURE, NULL,
                           &job->conf->filter.place, "icap: %s %s: %s", verb(job),
                           is_open ? "passed over" : "failed", why);
    if (is_open)
        return FILTER_NEXT;
    return answer(ex, &unchecked);
}

static enum filter_verdict
answered(struct icap_job *job)
{
    struct exchange *ex = job->ex;
    bool is_answer = job->side == ICAP_REQUEST && job->reader.reply.response_head.data != NULL;
    const char *why = job->side == ICAP_RESPONSE || is_answer
                          ? icap_apply_response(job, is_answer) : icap_apply_request(job);

    if (why != NULL)
        return fail(job, why);
    filter_count(ex, &counts, is_infected(job) ? INFECTED : is_answer ? ANSWERED : MODIFIED, 1);
    decide(job, is_answer ? "answered" : "changed it");
    /* What was found today may be let through tomorrow. */
    if (is_infected(job) && (is_answer || job->side == ICAP_RESPONSE))
        fields_set(&ex->response.fields, &ex->arena, FIELD_CACHE_CONTROL, SLICE("no-store"));
    if (!job->is_content)
        icap_job_end(job);
    return is_answer ? FILTER_ANSWER : FILTER_NEXT;
}

static enum filter_verdict
leave(struct icap_job *job, enum event event)
{
    filter_count(job->ex, &counts, event, 1);
    if (event == PASSED && finding(job).data != NULL)
        decide(job, "let it pass");
    icap_job_end(job);
    return FILTER_NEXT;
}

static enum filter_verdict
cut(struct icap_job *job)
{
    icap_job_end(job);
    if (job->side == ICAP_REQUEST) /* which has ended the exchange by itself */
        return FILTER_WAIT;
    exchange_decide(job->ex, DECISION_FAILURE, NULL, "the response was cut short");
    exchange_answer(job->ex, 502, END_UPSTREAM_FAILED, "The response was cut short.");
    return FILTER_ANSWER;
}

static enum filter_verdict
proceed(struct icap_job *job)
{
    switch (icap_job_ask(job)) {
    case ICAP_WAIT:
        return FILTER_WAIT;
    case ICAP_UNCHANGED:
        return leave(job, PASSED);
    case ICAP_IGNORED:
        return leave(job, SKIPPED);
    case ICAP_ANSWERED:
        return answered(job);
    case ICAP_FAILED:
        return fail(job, job->why);
    case ICAP_CUT:
        return cut(job);
    case ICAP_NO_MEMORY:
        return fail(job, "no memory to hold content: held_content");
    }
    return FILTER_NEXT;
}

/* ---- hooks */

static enum filter_verdict
refuse_larger(struct exchange *ex, const struct icap_conf *conf, enum icap_side side)
{
    const struct failure too_long = { END_LIMIT, side == ICAP_REQUEST ? 413 : 502, NULL,
                                      "The content is too long to be checked." };

    filter_count(ex, &counts, conf->larger == LARGER_PASS ? SKIPPED : FAILED, 1);
    if (conf->larger == LARGER_PASS)
        return FILTER_NEXT;
    exchange_decide(ex, DECISION_FILTER, &conf->filter.place, "icap: content is over max_size");
    return answer(ex, &too_long);
}

static enum filter_verdict
show(const struct icap_conf *conf, struct state *state, struct exchange *ex, enum icap_side side,
     uint64_t length)
{
    struct icap_job *job = state->jobs[side];

    if (job == NULL) {
        if (conf->max_bytes > 0 && length != LENGTH_UNKNOWN && length > conf->max_bytes)
            return refuse_larger(ex, conf, side);
        job = arena_zalloc(&ex->arena, sizeof(*job));
        if (job == NULL) { /* the arena remembers; but nothing may pass unseen */
            exchange_answer(ex, 503, END_LIMIT, NULL);
            return FILTER_ANSWER;
        }
        state->jobs[side] = job;
        filter_count(ex, &counts, SHOWN, 1);
        icap_job_begin(job, conf, ex, side);
    }
    return proceed(job);
}

static enum filter_verdict
request_head(const void *arg, void *memory, struct exchange *ex)
{
    const struct icap_conf *conf = arg;

    if (conf->to[ICAP_RESPONSE].uri != NULL) {
        fields_remove(&ex->request.fields, FIELD_RANGE);
        fields_remove(&ex->request.fields, FIELD_IF_RANGE);
    }
    if (conf->to[ICAP_REQUEST].uri == NULL)
        return FILTER_NEXT;
    return show(conf, memory, ex, ICAP_REQUEST,
                ex->request.has_body ? ex->request.length : 0);
}

static enum filter_verdict
fetch_head(const void *arg, void *memory, struct exchange *ex)
{
    const struct icap_conf *conf = arg;

    if (ex->response.body == NULL || ex->response.status < 200)
        return FILTER_NEXT;
    return show(conf, memory, ex, ICAP_RESPONSE, ex->response.length);
}

static void
end(const void *arg, void *memory, struct exchange *ex)
{
    struct state *state = memory;

    (void)arg;
    (void)ex;
    for (unsigned i = 0; i < ARRAY_COUNT(state->jobs); i++)
        if (state->jobs[i] != NULL)
            icap_job_end(state->jobs[i]);
}

void
icap_on_end(struct worker *worker)
{
    (void)worker;
    icap_options_forget();
}

static bool
works_on_fetch(const void *arg)
{
    return ((const struct icap_conf *)arg)->to[ICAP_RESPONSE].uri != NULL;
}

const struct filter_ops icap_filter = {
    .name = "icap",
    .text = "Shows requests and responses to an ICAP server, which may change or refuse them.",
    .options = options,
    .conf_bytes = sizeof(struct icap_conf),
    .state_bytes = sizeof(struct state),
    .counts = &counts,
    .finish = finish,
    .works_on_fetch = works_on_fetch,
    .request_head = request_head,
    .fetch_head = fetch_head,
    .end = end,
};
