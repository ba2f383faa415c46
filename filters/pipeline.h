/* SPDX-License-Identifier: BSD-2-Clause */
/* pipeline.h - the filters of one exchange, run in order on each side.
 *
 * The pipeline is the listener's filters, then the site's, then the route's (filters/chain.h).
 * On the way back (fetch, deliver) they run in reverse order.
 */
#ifndef BASCULE_PIPELINE_H
#define BASCULE_PIPELINE_H

#include "filters/filter.h"

/* Collects the filters that apply, once listener and route are known. When
 * nothing applies no memory is used. */
void pipeline_begin(struct exchange *ex);

/* Each side's heads and, filter by filter, what they do to the content: ex->request.body or
 * ex->response.body is wrapped. FILTER_WAIT: call again after on_resume. */
enum filter_verdict pipeline_request(struct exchange *ex);
enum filter_verdict pipeline_fetch(struct exchange *ex);
enum filter_verdict pipeline_deliver(struct exchange *ex);

/* For the key of a cache: which filters work on what is fetched, and how. Two parts; mostly
 * both are empty. */
void pipeline_fetch_ids(const struct exchange *ex, struct slice ids[2]);

/* Whether a filter that can say so would refuse the request: the first one's objection. Nothing
 * is done, and pipeline_begin() is not needed. */
bool pipeline_objects(struct exchange *ex, struct filter_objection *objection);

/* Calls every end hook. */
void pipeline_end(struct exchange *ex);

#endif
