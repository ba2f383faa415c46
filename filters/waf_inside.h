/* SPDX-License-Identifier: BSD-2-Clause */
/* waf_inside.h - what the files of the filter waf share.
 *
 *     waf.c              hooks, what becomes of a verdict
 *     waf_options.c      options, and the rules that they name
 *     waf_setup.c        options as rules
 *     waf_case.c         a message is judged by a thread of its own
 *     waf_record.c       what is told of a verdict
 *     waf_library.h      libmodsecurity: waf_modsecurity.c, or waf_absent.c in its place
 *     waf_functions.c    finds it, and its functions
 *     waf_files.c        which files there are
 *     waf_message.c      what the library says
 */
#ifndef BASCULE_WAF_INSIDE_H
#define BASCULE_WAF_INSIDE_H

#include "filters/filter.h"
#include "filters/hold.h"
#include "filters/waf_library.h"

struct log_sink;

enum waf_mode { WAF_DETECT, WAF_BLOCK };
enum waf_over { WAF_OVER_REFUSE, WAF_OVER_PASS };

struct waf_conf {
    struct filter_conf filter;
    struct strings rules;
    bool crs;
    const char *crs_path;
    int64_t paranoia, inbound_threshold, outbound_threshold;
    struct strings methods;
    struct strings directives;
    struct strings exclude;
    int mode;                /* enum waf_mode */
    uint64_t request_bytes;  /* 0: content of requests is not looked at */
    int larger, encoded;     /* enum waf_over */
    int64_t max_arguments, max_cookies;
    uint64_t response_bytes; /* 0: responses are not looked at */
    struct strings response_types;
    int64_t status;
    uint32_t wait_ms;
    bool tells;
    const char *audit_name;

    const char *setup, *joined;          /* of the options, of the directives */
    const struct access_log_conf *audit; /* NULL: none */
    struct log_sink *audit_sink;
    struct waf_rules *compiled;
};

/* ---- waf_options.c: members of waf_filter */

extern const struct option waf_options[];

int waf_finish(void *conf, struct conf *all, struct arena *arena, struct err *err);
int waf_adopt(void *conf, struct arena *arena, struct err *err);
int waf_check(const void *conf, struct err *err);

/* ---- waf_setup.c */

/* Checks what ends up in rules, and makes conf->setup and conf->joined. 0, or -1 with err. */
int waf_setup_finish(struct waf_conf *conf, struct arena *arena, struct err *err);

/* ---- waf_case.c */

enum waf_side { WAF_REQUEST, WAF_RESPONSE };

/* One exchange's dealings with the rules; read by its worker. */
struct waf_case;

/* There are filters that need threads; there is one fewer. The last one to leave waits for
 * what is under way. */
void waf_threads_use(void);
void waf_threads_leave(void);

/* wait_ms: how long it may wait for a thread. NULL when memory is short. */
struct waf_case *waf_case_new(struct waf_rules *rules, struct exchange *ex, uint32_t wait_ms);

/* Has the request, or the response, judged, with the content in hold (NULL: none; is_unread:
 * there is some that is not shown, so the rules see an empty one). is_final: nothing more
 * will be asked. Later the exchange's on_resume is called. False: there is too much to do. */
bool waf_case_ask(struct waf_case *of, enum waf_side side, const struct hold *hold,
                  bool is_unread, bool is_final);

/* NULL: it is still being judged. */
const struct waf_verdict *waf_case_verdict(const struct waf_case *of);

/* With a verdict: that there is none, as no thread was free in time. */
bool waf_case_is_late(const struct waf_case *of);

/* Ends it, whatever goes on. NULL is fine. */
void waf_case_end(struct waf_case *of);

/* ---- waf_record.c */

/* "blocked by 949110: 942100 at ARGS:q, 930120 ..." in the exchange's arena. */
struct slice waf_record_words(struct exchange *ex, const char *did,
                              const struct waf_verdict *verdict);

/* A line of JSON for the audit log, if there is one. No values that the client sent but
 * method, host and path are in it: names of arguments, but not what they are. */
void waf_record_audit(const struct waf_conf *conf, struct exchange *ex, enum waf_side side,
                      const char *did, const struct waf_verdict *verdict);

#endif
