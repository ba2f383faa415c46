/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_failure.c - OpenSSL's reasons, and those of alerts, as sentences. */
#include "config.h"

#include "server/tls/tls_failure.h"

#include "server/base/must.h"

#include <openssl/err.h>
#include <openssl/x509.h>

static const struct {
    int reason;
    const char *text;
} reasons[] = {
    { SSL_R_HTTP_REQUEST, "it speaks plain HTTP" },
    { SSL_R_HTTPS_PROXY_REQUEST, "it speaks plain HTTP" },
    { SSL_R_WRONG_VERSION_NUMBER, "it does not speak TLS" },
    { SSL_R_UNSUPPORTED_PROTOCOL, "it speaks no version of TLS that is allowed here" },
    { SSL_R_VERSION_TOO_LOW, "it speaks no version of TLS that is allowed here" },
    { SSL_R_NO_PROTOCOLS_AVAILABLE, "it speaks no version of TLS that is allowed here" },
    { SSL_R_INAPPROPRIATE_FALLBACK, "it tried an older version of TLS than it can" },
    { SSL_R_NO_SHARED_CIPHER, "it has no cipher that is allowed here" },
    { SSL_R_NO_SHARED_GROUPS, "it has no key exchange that is allowed here" },
    { SSL_R_NO_SUITABLE_KEY_SHARE, "it has no key exchange that is allowed here" },
    { SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, "it takes no signature of our certificate's kind" },
    { SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS, "it takes no signature of our certificate's kind" },
    { SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, "it showed no certificate, which is required" },
    { SSL_R_TLSV1_ALERT_UNKNOWN_CA, "it does not trust our certificate: unknown authority" },
    { SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, "it does not trust our certificate" },
    { SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, "it does not trust our certificate" },
    { SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, "it says that our certificate has expired" },
    { SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED, "it says that our certificate is revoked" },
    { SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE, "it cannot use our certificate" },
    { SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE, "it gave up: nothing in common with us" },
    { SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, "it wants another version of TLS" },
    { SSL_R_TLSV1_ALERT_USER_CANCELLED, "it gave up: its user cancelled" },
    { SSL_R_UNEXPECTED_EOF_WHILE_READING, "it hung up" },
};

#define STRANGE "its certificate is of another authority, or its chain has a gap"

static const struct {
    long verdict;
    const char *text;
} verdicts[] = {
    { X509_V_ERR_CERT_REVOKED, "its certificate is revoked" },
    { X509_V_ERR_CERT_HAS_EXPIRED, "its certificate has expired" },
    { X509_V_ERR_CERT_NOT_YET_VALID, "its certificate is not valid yet" },
    { X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, STRANGE },
    { X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, STRANGE },
    { X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, STRANGE },
    { X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, "its certificate is of another authority: its own" },
    { X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, "its certificate is of another authority" },
    { X509_V_ERR_CERT_SIGNATURE_FAILURE, "its certificate is forged: the signature is wrong" },
    { X509_V_ERR_CERT_CHAIN_TOO_LONG, "the chain of its certificate is longer than depth" },
    { X509_V_ERR_INVALID_PURPOSE, "its certificate is not for this use (extendedKeyUsage)" },
    { X509_V_ERR_HOSTNAME_MISMATCH, "its certificate is for another name" },
    { X509_V_ERR_IP_ADDRESS_MISMATCH, "its certificate is for another address" },
    { X509_V_ERR_UNABLE_TO_GET_CRL, "the crl has no list of its certificate's authority" },
    { X509_V_ERR_CRL_HAS_EXPIRED, "the list of revoked certificates in crl has expired" },
    { X509_V_ERR_CRL_NOT_YET_VALID, "the list of revoked certificates in crl is not valid yet" },
};

const char *
tls_failure_of_verdict(long verdict)
{
    for (size_t i = 0; i < ARRAY_COUNT(verdicts); i++)
        if (verdicts[i].verdict == verdict)
            return verdicts[i].text;
    return X509_verify_cert_error_string(verdict);
}

const char *
tls_failure_of_error(void)
{
    unsigned long error = ERR_peek_last_error();
    const char *text;

    if (error == 0)
        return "it hung up";
    for (size_t i = 0; i < ARRAY_COUNT(reasons); i++)
        if (ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) == reasons[i].reason)
            return reasons[i].text;
    text = ERR_reason_error_string(error);
    return text != NULL ? text : "it broke the protocol";
}

const char *
tls_failure_of_client(const SSL *ssl)
{
    long verdict = SSL_get_verify_result(ssl);

    return verdict != X509_V_OK ? tls_failure_of_verdict(verdict) : tls_failure_of_error();
}

bool
tls_failure_is_http(void)
{
    return ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_HTTP_REQUEST;
}
