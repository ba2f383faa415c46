/* SPDX-License-Identifier: BSD-2-Clause */
/* cors.h - the filter that says which other origins' pages may read a site's answers.
 *
 *     { filter = "cors"; origins = [ "https://app.example.com", "http://[::1]:3000" ];
 *       methods = [ "GET", "PUT" ]; headers = [ "Content-Type" ]; credentials = true; }
 *
 * It answers preflights itself, and what servers say of CORS does not pass.
 */
#ifndef BASCULE_CORS_H
#define BASCULE_CORS_H

#include "filters/filter.h"

extern const struct filter_ops cors_filter;

#endif
