/* SPDX-License-Identifier: BSD-2-Clause */
/* clamd_feed.c - what is scanned of content.
 *
 *     content --> tap --> decoder --> files of a form --> scan
 *
 * Content is not changed by it: what passes on are the bytes that were put. The files of a
 * form are scanned one after the other; while the verdict on one is awaited, nothing more is
 * taken. Whatever cannot be read is refused, passed over, or scanned as it came, by option.
 */
#include "config.h"

#include "filters/clamd_inside.h"

/* What a form's reader may give back in one call that was taken in earlier ones. */
#define BOUNDARY_ROOM (MULTIPART_BOUNDARY_MAX + 8u)

static void begin_scan(struct clamd_feed *feed);

/* ---- the verdict */

static void
settle(struct clamd_feed *feed, enum clamd_verdict verdict, const char *why)
{
    feed->verdict = verdict;
    feed->why = why;
    feed->name = feed->scan.answer.name;
    task_cancel(&feed->task);
    clamd_scan_drop(&feed->scan);
}

/* What the scan says is what is said of the whole, unless other files follow. */
static void
look_at_scan(struct clamd_feed *feed)
{
    bool is_last = feed->is_over || feed->is_content_ended;

    if (feed->verdict != CLAMD_PENDING || feed->scan.verdict == CLAMD_PENDING)
        return;
    if (feed->scan.verdict != CLAMD_CLEAN || is_last) {
        settle(feed, feed->scan.verdict, feed->scan.why);
        return;
    }
    clamd_scan_drop(&feed->scan);
    feed->scan = (struct clamd_scan){ .verdict = CLAMD_PENDING };
}

/* No more of it is scanned: there is more than may be. */
static void
be_over(struct clamd_feed *feed)
{
    if (feed->conf->larger != CLAMD_SCAN) {
        settle(feed, CLAMD_TOO_LONG, "the content is longer than max_size");
        return;
    }
    feed->is_over = true;
    filter_count(feed->ex, &clamd_counts, CLAMD_COUNT_TOO_LARGE, 1);
    clamd_scan_end(&feed->scan);
}

/* Of what cannot be read: whether the rest is scanned as it comes. */
static bool
goes_on(struct clamd_feed *feed, const char *why)
{
    if (feed->conf->unreadable == CLAMD_SCAN)
        return true;
    settle(feed, CLAMD_UNREADABLE, why);
    return false;
}

static void
lose_form(struct clamd_feed *feed, const char *why)
{
    if (!goes_on(feed, why))
        return;
    begin_scan(feed);
    feed->form = NULL;
}

static void
lose_codings(struct clamd_feed *feed)
{
    if (feed->broken == NULL)
        settle(feed, CLAMD_FAILED, "out of memory");
    else if (goes_on(feed, feed->broken))
        feed->decoder = NULL;
}

/* ---- the scan */

static void
on_scan_change(struct clamd_scan *scan)
{
    struct clamd_feed *feed = container_of(scan, struct clamd_feed, scan);

    look_at_scan(feed);
    feed->on_change(feed);
}

static void
begin_scan(struct clamd_feed *feed)
{
    if (feed->scan.is_begun)
        return;
    feed->was_begun = true;
    clamd_scan_begin(&feed->scan, feed->ex->worker, &feed->conf->service,
                     feed->conf->timeout_ms, on_scan_change);
}

static size_t
put_plain(struct clamd_feed *feed, const char *data, size_t bytes)
{
    size_t room;

    begin_scan(feed);
    room = clamd_scan_room(&feed->scan);
    if (room > 0 && feed->left_bytes == 0) {
        be_over(feed);
        return feed->is_over ? bytes : 0;
    }
    if (bytes > room)
        bytes = room;
    if (bytes > feed->left_bytes)
        bytes = (size_t)feed->left_bytes;
    clamd_scan_put(&feed->scan, data, bytes);
    feed->left_bytes -= bytes;
    return bytes;
}

/* ---- the files of a form */

/* What receivers may take for a file. */
static bool
is_file(const struct multipart_part *part)
{
    return part->filename.data != NULL || part->filename_star.data != NULL ||
           part->content_type.data != NULL;
}

static void
act_on(struct clamd_feed *feed, enum multipart_event event, struct slice data)
{
    switch (event) {
    case MULTIPART_MORE:
        return;
    case MULTIPART_PART:
        feed->is_file = is_file(&feed->form->part);
        if (feed->is_file)
            begin_scan(feed);
        return;
    case MULTIPART_DATA:
        if (feed->is_file && put_plain(feed, data.data, data.bytes) < data.bytes &&
            feed->verdict == CLAMD_PENDING && !feed->is_over)
            be_over(feed); /* there was room for all that may be scanned */
        return;
    case MULTIPART_PART_END:
        if (feed->is_file)
            clamd_scan_end(&feed->scan);
        feed->is_file = false;
        return;
    case MULTIPART_ERROR:
        lose_form(feed, feed->form->error);
        return;
    }
}

/* How much input may be read now. Within a file no more than its scan has room for. */
static size_t
form_room(struct clamd_feed *feed, size_t bytes)
{
    size_t room;

    if (feed->scan.is_ending)
        return 0;
    if (!feed->is_file)
        return bytes;
    room = clamd_scan_room(&feed->scan);
    if (room <= BOUNDARY_ROOM)
        return 0;
    return bytes < room - BOUNDARY_ROOM ? bytes : room - BOUNDARY_ROOM;
}

static size_t
put_form(struct clamd_feed *feed, const char *data, size_t bytes)
{
    size_t taken = 0, room;

    while (feed->verdict == CLAMD_PENDING && !feed->is_over && feed->form != NULL &&
           taken < bytes && (room = form_room(feed, bytes - taken)) > 0) {
        struct slice window = slice_make(data + taken, room), found;
        enum multipart_event event;

        do {
            event = multipart_next(feed->form, &window, &found);
            act_on(feed, event, found);
        } while (event == MULTIPART_DATA && feed->verdict == CLAMD_PENDING && !feed->is_over);
        taken = (size_t)(window.data - data);
        clamd_scan_send(&feed->scan);
        look_at_scan(feed);
    }
    return feed->is_over ? bytes : taken;
}

/* Less than all is taken only when clamd has to be waited for, or there is a verdict. */
static size_t
put_content(struct clamd_feed *feed, const char *data, size_t bytes)
{
    size_t taken = 0, part;
    bool had_form;

    do {
        had_form = feed->form != NULL;
        part = had_form ? put_form(feed, data + taken, bytes - taken)
                        : put_plain(feed, data + taken, bytes - taken);
        taken += part;
        clamd_scan_send(&feed->scan);
        look_at_scan(feed);
    } while ((part > 0 || had_form != (feed->form != NULL)) && taken < bytes &&
             feed->verdict == CLAMD_PENDING && !feed->is_over);
    return feed->is_over ? bytes : taken;
}

/* ---- under codings */

static enum flow
offer_tap(struct source *source, unsigned forms, struct piece *piece)
{
    struct clamd_feed *feed = container_of(source, struct clamd_feed, tap);
    struct slice input = feed->input;

    (void)forms;
    if (input.bytes == 0)
        return feed->is_input_ended ? FLOW_END : FLOW_WAIT;
    *piece = (struct piece){ .form = FORM_SLICES, .bytes = input.bytes, .count = 1 };
    piece->iov[0] = (struct iovec){ (char *)(uintptr_t)input.data, input.bytes };
    return FLOW_MORE;
}

static void
take_tap(struct source *source, size_t bytes)
{
    struct clamd_feed *feed = container_of(source, struct clamd_feed, tap);

    feed->input = slice_skip(feed->input, bytes);
}

static const struct source_ops tap_ops = { .offer = offer_tap, .take = take_tap };

static void
on_task(struct task *task)
{
    struct clamd_feed *feed = container_of(task, struct clamd_feed, task);

    feed->on_change(feed);
}

static void
on_decode_failed(struct exchange *ex, void *arg, enum decode_failure failure)
{
    struct clamd_feed *feed = arg;

    (void)ex;
    feed->broken = decode_failure_text(failure);
}

/* Passes on what the decoder offers. False: not all of it was taken. */
static bool
put_decoded(struct clamd_feed *feed, const struct piece *piece)
{
    size_t taken = 0;

    for (unsigned i = 0; i < piece->count; i++) {
        size_t part = put_content(feed, piece->iov[i].iov_base, piece->iov[i].iov_len);

        taken += part;
        if (part < piece->iov[i].iov_len)
            break;
    }
    if (taken > 0)
        feed->decoder->ops->take(feed->decoder, taken);
    return taken == piece->bytes;
}

/* As far as that goes now. */
static void
decode(struct clamd_feed *feed)
{
    struct piece piece;

    while (feed->verdict == CLAMD_PENDING && !feed->is_over && feed->decoder != NULL) {
        switch (feed->decoder->ops->offer(feed->decoder, FORM_SLICES, &piece)) {
        case FLOW_MORE:
            if (!put_decoded(feed, &piece))
                return;
            break;
        case FLOW_WAIT:
            if (feed->input.bytes > 0 || feed->is_input_ended)
                loop_ready(feed->ex->worker->loop, &feed->task); /* its turn is over */
            return;
        case FLOW_END:
            feed->is_content_ended = true;
            return;
        case FLOW_FAILED:
            lose_codings(feed);
            return;
        }
    }
}

/* ---- the whole */

static bool
begin_form(struct clamd_feed *feed, const struct clamd_shape *shape)
{
    feed->form = arena_zalloc(&feed->ex->arena, sizeof(*feed->form));
    return feed->form != NULL &&
           multipart_init(feed->form, slice_make(shape->boundary, shape->boundary_bytes), NULL,
                          &feed->ex->arena) == 0;
}

static bool
begin_decoder(struct clamd_feed *feed, const struct clamd_shape *shape)
{
    const struct decode_plan plan = {
        .codings = shape->codings,
        .max_ratio = (uint32_t)feed->conf->max_ratio,
        .on_failed = on_decode_failed,
        .arg = feed,
    };

    feed->tap = (struct source){ .ops = &tap_ops };
    feed->decoder = decode_begin(feed->ex, &feed->tap, &plan);
    return feed->decoder != NULL;
}

void
clamd_feed_begin(struct clamd_feed *feed, const struct clamd_conf *conf, struct exchange *ex,
                 const struct clamd_shape *shape, void (*on_change)(struct clamd_feed *))
{
    *feed = (struct clamd_feed){ .conf = conf, .ex = ex, .on_change = on_change,
                                 .left_bytes = conf->max_bytes };
    task_init(&feed->task, on_task);
    if ((shape->is_form && !begin_form(feed, shape)) ||
        (shape->codings.count > 0 && !begin_decoder(feed, shape)))
        settle(feed, CLAMD_FAILED, "out of memory");
}

size_t
clamd_feed_put(struct clamd_feed *feed, const char *data, size_t bytes)
{
    size_t left;

    if (feed->verdict != CLAMD_PENDING)
        return 0;
    if (feed->is_over || feed->is_content_ended)
        return bytes;
    if (feed->decoder == NULL)
        return put_content(feed, data, bytes);
    feed->input = slice_make(data, bytes);
    decode(feed);
    left = feed->input.bytes;
    feed->input = slice_make(NULL, 0); /* it was borrowed */
    if (feed->decoder == NULL && left > 0 && feed->verdict == CLAMD_PENDING)
        left -= put_content(feed, data + bytes - left, left);
    return feed->is_over ? bytes : bytes - left;
}

void
clamd_feed_end(struct clamd_feed *feed)
{
    const char *error;

    feed->is_input_ended = true;
    if (feed->decoder != NULL && !feed->is_content_ended && !feed->is_over)
        decode(feed);
    if (feed->verdict != CLAMD_PENDING || feed->is_over ||
        (feed->decoder != NULL && !feed->is_content_ended))
        return;
    error = feed->form != NULL ? multipart_finish(feed->form) : NULL;
    if (error != NULL)
        lose_form(feed, error);
    if (feed->verdict != CLAMD_PENDING)
        return;
    feed->is_content_ended = true;
    if (!feed->scan.is_begun) {
        settle(feed, CLAMD_CLEAN, NULL); /* nothing is in it */
        return;
    }
    clamd_scan_end(&feed->scan);
    look_at_scan(feed);
}

void
clamd_feed_drop(struct clamd_feed *feed)
{
    if (feed->conf == NULL)
        return; /* it was never begun */
    task_cancel(&feed->task);
    clamd_scan_drop(&feed->scan);
}
