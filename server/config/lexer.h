/* SPDX-License-Identifier: BSD-2-Clause */
/* lexer.h - the words of a configuration file.
 *
 * Knows libconfig's lexical rules, and `@include` at the start of a line. Never
 * fails: what it cannot read is a token of its own kind, for the caller to
 * refuse in better words.
 */
#ifndef BASCULE_LEXER_H
#define BASCULE_LEXER_H

#include "server/base/slice.h"

enum token_kind {
    TOKEN_NAME,      /* listen */
    TOKEN_STRING,    /* "text", with its quotes */
    TOKEN_INTEGER,   /* 80, -1, 0x1F, 5000000000, 5L */
    TOKEN_FLOAT,     /* 1.5 */
    TOKEN_BOOL,      /* true, False */
    TOKEN_EQUALS,    /* = or : */
    TOKEN_COMMA,
    TOKEN_SEMICOLON,
    TOKEN_OPEN,      /* { ( [ */
    TOKEN_CLOSE,     /* } ) ] */
    TOKEN_INCLUDE,   /* @include "..." to the end of the line, comment included */
    TOKEN_END,       /* of the text */
    TOKEN_BAD_STRING,  /* never closed */
    TOKEN_BAD_COMMENT, /* never closed */
    TOKEN_BAD_NUMBER,  /* 10s, 08, 1.2.3 */
    TOKEN_BAD_BYTE,    /* one that has no meaning here */
};

struct token {
    enum token_kind kind;
    struct slice text; /* of the source */
    unsigned line;     /* where it begins, from 1 */
};

struct lexer {
    struct slice text; /* all of it */
    size_t at;
    unsigned line;
};

/* Borrows text. */
void lexer_init(struct lexer *lexer, struct slice text);

/* The next token; TOKEN_END again and again at the end. */
struct token lexer_next(struct lexer *lexer);

/* The file name of a TOKEN_INCLUDE without its quotes, escapes untouched. False
 * when something other than a comment follows it, or it has none. */
bool token_include_name(struct token token, struct slice *name);

/* The value of a TOKEN_INTEGER; false when it exceeds 64 bits. */
bool token_integer(struct token token, int64_t *value);

#endif
