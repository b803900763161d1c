"""A mail server that takes mails only encrypted (STARTTLS) and only from whoever knows the password.

Prints its port, then a line for each mail: who sent it to whom, by which account, and its subject.
"""

import asyncio
import email
import ssl

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


class Mails:
    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content)
        encrypted = "TLS" if session.ssl else "clear"
        print("mail", encrypted, session.auth_data, envelope.mail_from, *envelope.rcpt_tos, mail["Subject"], flush=True)
        return "250 queued"


def authenticate(server, session, envelope, mechanism, data):
    known = isinstance(data, LoginPassword) and (data.login, data.password) == (b"runbook", b"a-mail-password")
    if not known:
        print("refused", mechanism, flush=True)
        return AuthResult(success=False, handled=False)
    return AuthResult(success=True, auth_data=data.login.decode())


async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("mail.pem", "mail.key")
    loop = asyncio.get_running_loop()

    def connection():
        return SMTP(
            Mails(),
            hostname="localhost",
            loop=loop,
            tls_context=context,
            require_starttls=True,
            authenticator=authenticate,
            auth_required=True,
            auth_require_tls=True,
        )

    server = await loop.create_server(connection, "127.0.0.1", 0)
    print("port", server.sockets[0].getsockname()[1], flush=True)
    await asyncio.sleep(120)


asyncio.run(main())
