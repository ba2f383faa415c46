/* SPDX-License-Identifier: BSD-2-Clause */
/* waf_absent.c - in place of waf_modsecurity.c where there is no libmodsecurity: the filter's
 * options are refused, so none of this is ever asked.
 */
#include "config.h"

#include "filters/waf_library.h"

#include "server/base/must.h"

const bool waf_is_built_in = false;

struct waf_rules *
waf_rules_adopt(const struct waf_plan *plan, struct err *err)
{
    (void)plan;
    err_set(err, "this Bascule was built without libmodsecurity");
    return NULL;
}

struct waf_rules *
waf_rules_ref(struct waf_rules *rules)
{
    return rules;
}

void
waf_rules_unref(struct waf_rules *rules)
{
    must(rules == NULL);
}

struct waf_transaction *
waf_transaction_new(struct waf_rules *rules)
{
    (void)rules;
    return NULL;
}

void
waf_judge_request(struct waf_transaction *transaction, const struct waf_message *message,
                  struct waf_verdict *verdict)
{
    (void)transaction;
    (void)message;
    (void)verdict;
}

void
waf_judge_response(struct waf_transaction *transaction, const struct waf_message *message,
                   struct waf_verdict *verdict)
{
    (void)transaction;
    (void)message;
    (void)verdict;
}

void
waf_transaction_end(struct waf_transaction *transaction)
{
    must(transaction == NULL);
}
