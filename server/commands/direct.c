/* SPDX-License-Identifier: BSD-2-Clause */
/* direct.c - serves without a file: flags become the text of a configuration.
 *
 * The text goes the same way as a file, so a flag means and refuses exactly what
 * its option does.
 */
#include "config.h"

#include "server/commands/members.h"

#include "server/base/slice.h"
#include "server/certificates/local_ca.h"
#include "server/config/source.h"
#include "server/supervisor.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LISTEN_FLAG(default_) \
    { .name = "--listen", .value = "ADDRESS", .is_repeatable = true, \
      .text = "where to listen" default_ }
#define TLS_FLAGS \
    { .name = "--tls", \
      .text = "clients come by TLS; see \"bascule ca\" for trust in its certificate" }, \
    { .name = "--certificate", .value = "CHAIN[,KEY]", .is_repeatable = true, \
      .text = "files to speak TLS with, instead of the local CA's certificate" }
#define UPSTREAM_CA_FLAG \
    { .name = "--upstream-ca", .value = "FILE", \
      .text = "who may vouch for https:// servers (default: the system's CAs)" }
#define COMMON_FLAGS \
    { .name = "--allow-client", .value = "NETWORK", .is_repeatable = true, \
      .text = "who is served, as in 192.0.2.0/24" }, \
    { .name = "--access-log", .value = "FILE", \
      .text = "log of what passes; also stdout, syslog:" }, \
    { .name = "--workers", .value = "N", .text = "worker threads (default: one for each CPU)" }, \
    { .name = "--user", .value = "USER", .text = "run as this user when started by root" }, \
    { .name = "--control", .value = "PATH", .text = "control socket (default: none)" }, \
    { .name = NULL }

static const struct flag forward_flags[] = {
    LISTEN_FLAG(" (default: 127.0.0.1:3128)"),
    { .name = "--allow-destination", .value = "NETWORK", .is_repeatable = true,
      .text = "may be connected to though it is not public, as in 10.0.0.0/8" },
    { .name = "--connect-ports", .value = "LIST", .is_repeatable = true,
      .text = "ports CONNECT may ask for (default: 443,8443)" },
    TLS_FLAGS,
    COMMON_FLAGS,
};

static const struct flag reverse_flags[] = {
    { .name = "--to", .value = "URL", .is_repeatable = true,
      .text = "server that answers, as in http://127.0.0.1:9000 or https://example.com" },
    UPSTREAM_CA_FLAG,
    LISTEN_FLAG(" (default: 127.0.0.1:8080, with TLS 8443)"),
    TLS_FLAGS,
    COMMON_FLAGS,
};

static const struct flag port_flags[] = {
    { .name = "--to", .value = "HOST:PORT", .is_repeatable = true,
      .text = "server that connections go to; https://HOST:PORT for TLS with it" },
    UPSTREAM_CA_FLAG,
    LISTEN_FLAG(""),
    TLS_FLAGS,
    COMMON_FLAGS,
};

/* ---- writing configuration text */

/* s and what is put behind it, in quotes. */
static void
write_string(FILE *out, struct slice s, const char *more)
{
    fputc('"', out);
    for (size_t i = 0; i < s.bytes; i++) {
        if ((unsigned char)s.data[i] < 0x20 || s.data[i] == 0x7f)
            fprintf(out, "\\x%02x", (unsigned char)s.data[i]);
        else
            fprintf(out, s.data[i] == '"' || s.data[i] == '\\' ? "\\%c" : "%c", s.data[i]);
    }
    fprintf(out, "%s\"", more);
}

/* option = [ "a", "b" ]; of all values of the flag, which may be lists with commas. */
static void
write_list(FILE *out, const struct arguments *arguments, const char *flag, const char *option)
{
    bool is_first = true;

    if (arguments_get(arguments, flag) == NULL)
        return;
    fprintf(out, "    %s = [ ", option);
    for (int i = 0; i < arguments->given_count; i++) {
        struct slice list = slice_of(arguments->given[i].value), element;

        if (strcmp(arguments->given[i].flag->name, flag) != 0)
            continue;
        while (slice_next_element(&list, &element)) {
            fputs(is_first ? "" : ", ", out);
            write_string(out, element, "");
            is_first = false;
        }
    }
    fprintf(out, " ];\n");
}

static void
write_text(FILE *out, const char *option, const char *value)
{
    fprintf(out, "%s = ", option);
    write_string(out, slice_of(value), "");
    fprintf(out, ";\n");
}

/* A file may be named as a shell's user would; the daemon wants its path whole. */
static void
write_path(FILE *out, struct slice name)
{
    char folder[PATH_MAX], path[2 * PATH_MAX];

    if (slice_starts_with(name, SLICE("/")) || getcwd(folder, sizeof(folder)) == NULL) {
        write_string(out, name, "");
        return;
    }
    snprintf(path, sizeof(path), "%s/%.*s", folder, SLICE_ARG(name));
    write_string(out, slice_of(path), "");
}

static void
write_access_log(FILE *out, const char *to)
{
    fprintf(out, "access_logs = ( { name = \"access\"; to = ");
    if (strchr(to, ':') != NULL || strcmp(to, "stdout") == 0 || strcmp(to, "stderr") == 0)
        write_string(out, slice_of(to), "");
    else
        write_path(out, slice_of(to));
    fprintf(out, "; } );\n");
}

/* ---- TLS towards clients */

static bool
is_tls(const struct arguments *arguments)
{
    return arguments_get(arguments, "--tls") != NULL ||
           arguments_get(arguments, "--certificate") != NULL;
}

/* "CHAIN" or "CHAIN,KEY". */
static void
write_certificate(FILE *out, struct slice files)
{
    ptrdiff_t comma = slice_find(files, ',');

    fprintf(out, "{ chain = ");
    write_path(out, comma < 0 ? files : slice_make(files.data, (size_t)comma));
    if (comma >= 0) {
        fprintf(out, "; key = ");
        write_path(out, slice_skip(files, (size_t)comma + 1));
    }
    fprintf(out, "; }");
}

static void
write_tls(FILE *out, const struct arguments *arguments)
{
    bool is_first = true;

    if (!is_tls(arguments))
        return;
    if (arguments_get(arguments, "--certificate") == NULL) {
        fprintf(out, "    tls = { certificates = \"%s\"; };\n", LOCAL_CERTIFICATE);
        return;
    }
    fprintf(out, "    tls = { certificates = (");
    for (int i = 0; i < arguments->given_count; i++) {
        if (strcmp(arguments->given[i].flag->name, "--certificate") != 0)
            continue;
        fputs(is_first ? " " : ", ", out);
        write_certificate(out, slice_of(arguments->given[i].value));
        is_first = false;
    }
    fprintf(out, " ); };\n");
}

/* ---- what all of them have */

static int
write_common(FILE *out, const struct arguments *arguments, struct err *err)
{
    const char *workers = arguments_get(arguments, "--workers");
    const char *user = arguments_get(arguments, "--user");
    const char *control = arguments_get(arguments, "--control");
    const char *access_log = arguments_get(arguments, "--access-log");
    uint64_t number;

    if (workers != NULL && !slice_to_u64(slice_of(workers), UINT32_MAX, &number))
        return err_set(err, "--workers %s: expected a number", workers);
    if (workers != NULL)
        fprintf(out, "workers = %s;\n", workers);
    if (user != NULL)
        write_text(out, "user", user);
    write_text(out, "control", control != NULL ? control : "off");
    if (access_log != NULL)
        write_access_log(out, access_log);
    return 0;
}

static void
write_listener(FILE *out, const struct arguments *arguments, const char *listen)
{
    fprintf(out, "listeners = ( {\n    name = \"%s\";\n    mode = \"%s\";\n",
            arguments->command->name, arguments->command->name);
    if (arguments_get(arguments, "--listen") == NULL && listen != NULL)
        fprintf(out, "    listen = \"%s\";\n", listen);
    write_list(out, arguments, "--listen", "listen");
    write_list(out, arguments, "--allow-client", "allow_client");
    write_list(out, arguments, "--allow-destination", "allow_destination");
    write_list(out, arguments, "--connect-ports", "connect_ports");
    write_tls(out, arguments);
    if (strcmp(arguments->command->name, "port") == 0)
        fprintf(out, "    group = \"servers\";\n");
    fprintf(out, "} );\n");
}

/* ---- servers */

static const struct scheme {
    struct slice prefix;
    const char *port; /* what is put behind a host without one */
} http = { SLICE_INIT("http://"), ":80" }, https = { SLICE_INIT("https://"), ":443" };

static bool
is_https(const char *url)
{
    return slice_starts_with(slice_of(url), https.prefix);
}

/* "http://HOST[:PORT][/]", or HOST:PORT, as an endpoint is written. 0 or -1. */
static int
write_url(FILE *out, struct slice url, struct err *err)
{
    const struct scheme *scheme = slice_starts_with(url, https.prefix) ? &https : &http;
    struct slice rest;

    if (!slice_starts_with(url, scheme->prefix)) {
        write_string(out, url, "");
        return 0;
    }
    rest = slice_skip(url, scheme->prefix.bytes);
    if (rest.bytes > 0 && rest.data[rest.bytes - 1] == '/')
        rest.bytes--;
    if (rest.bytes == 0)
        return err_set(err, "--to %.*s: the host is missing", SLICE_ARG(url));
    if (slice_find(rest, '/') >= 0 || slice_find(rest, '?') >= 0)
        return err_set(err,
                       "--to %.*s: a server, without a path; with a configuration file, "
                       "add_prefix puts one in front",
                       SLICE_ARG(url));
    write_string(out, rest, slice_find(rest, ':') < 0 || rest.data[rest.bytes - 1] == ']'
                                ? scheme->port : "");
    return 0;
}

/* Writes the --to; *https_count says how many of them are https://. 0 or -1. */
static int
write_endpoints(FILE *out, const struct arguments *arguments, int *https_count, struct err *err)
{
    int count = 0;

    *https_count = 0;
    for (int i = 0; i < arguments->given_count; i++) {
        const char *url = arguments->given[i].value;

        if (strcmp(arguments->given[i].flag->name, "--to") != 0)
            continue;
        *https_count += is_https(url);
        fprintf(out, "%s    { to = ", count++ == 0 ? "" : ",\n");
        if (write_url(out, slice_of(url), err) < 0)
            return -1;
        fprintf(out, "; }");
        if (*https_count != 0 && *https_count != count)
            return err_set(err, "--to %s: servers that share requests are asked over https:// "
                                "all, or none of them", url);
    }
    return 0;
}

/* TLS towards the servers. 0 or -1. */
static int
write_upstream_tls(FILE *out, const struct arguments *arguments, bool has_https, struct err *err)
{
    const char *ca = arguments_get(arguments, "--upstream-ca");

    if (ca != NULL && !has_https)
        return err_set(err, "--upstream-ca %s: means nothing without --to https://", ca);
    if (ca != NULL) {
        fprintf(out, "    tls = { ca = ");
        write_path(out, slice_of(ca));
        fprintf(out, "; };\n");
    } else if (has_https) {
        fprintf(out, "    tls = true;\n");
    }
    return 0;
}

static int
write_group(FILE *out, const struct arguments *arguments, struct err *err)
{
    int https_count;

    if (arguments_get(arguments, "--to") == NULL)
        return err_set(err, "%s: --to is missing: it says where the server is",
                       arguments->command->name);
    fprintf(out, "groups = ( {\n    name = \"servers\";\n    endpoints = (\n");
    if (write_endpoints(out, arguments, &https_count, err) < 0)
        return -1;
    fprintf(out, "\n    );\n");
    if (write_upstream_tls(out, arguments, https_count > 0, err) < 0)
        return -1;
    fprintf(out, "} );\n");
    return 0;
}

/* ---- the commands */

typedef int write_rest_fn(FILE *out, const struct arguments *arguments, struct err *err);

static int
serve(const struct arguments *arguments, const char *listen, write_rest_fn *write_rest)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    struct supervisor_conf conf = { .name = CONFIG_COMMAND_LINE };
    struct err err;
    int status;

    if (out == NULL)
        return 1;
    status = write_common(out, arguments, &err);
    write_listener(out, arguments, listen);
    if (status == 0 && write_rest != NULL)
        status = write_rest(out, arguments, &err);
    fclose(out);
    conf.text = slice_make(text, bytes);
    status = status < 0 ? command_fail(&err) : supervisor_run(&conf);
    free(text);
    return status;
}

static int
run_forward(const struct arguments *arguments)
{
    return serve(arguments, "127.0.0.1:3128", NULL);
}

static int
write_site(FILE *out, const struct arguments *arguments, struct err *err)
{
    fprintf(out, "sites = ( { name = \"all\"; default = true; group = \"servers\"; } );\n");
    return write_group(out, arguments, err);
}

static int
run_reverse(const struct arguments *arguments)
{
    return serve(arguments, is_tls(arguments) ? "127.0.0.1:8443" : "127.0.0.1:8080", write_site);
}

static int
run_port(const struct arguments *arguments)
{
    struct err err;

    if (arguments_get(arguments, "--listen") != NULL)
        return serve(arguments, NULL, write_group);
    err_set(&err, "port: --listen is missing: it says where clients connect");
    return command_fail(&err);
}

const struct command forward_command = {
    .name = "forward",
    .usage = "[--listen ADDRESS] [FLAG ...]",
    .text = "Serves as a forward proxy, without a file.",
    .flags = forward_flags,
    .run = run_forward,
};

const struct command reverse_command = {
    .name = "reverse",
    .usage = "--to URL [--listen ADDRESS] [FLAG ...]",
    .text = "Serves as a reverse proxy in front of a server, without a file.",
    .flags = reverse_flags,
    .run = run_reverse,
};

const struct command port_command = {
    .name = "port",
    .usage = "--to HOST:PORT --listen ADDRESS [FLAG ...]",
    .text = "Passes TCP connections on to a server, without a file.",
    .flags = port_flags,
    .run = run_port,
};
