/* SPDX-License-Identifier: BSD-2-Clause */
/* rewrite.h - the filter that replaces and inserts text in content.
 *
 *     { filter = "rewrite";
 *       replace = ( { find = "http://old.example/"; with = "/"; },
 *                   { regex = "build (\\d+)"; with = "version \\1"; ignore_case = true; } );
 *       insert = ( { at = "body_end"; text = "<script src=/banner.js></script>"; } ); }
 */
#ifndef BASCULE_REWRITE_H
#define BASCULE_REWRITE_H

#include "filters/filter.h"

extern const struct filter_ops rewrite_filter;

#endif
