// Puts each message into a folder, under a name that it gets when it is whole.
const fs = require('node:fs')

exports.hook_queue = (next, connection) => {
  const { message_stream, uuid, rcpt_to } = connection.transaction
  const name = `@SCRATCH@/mail/new/${uuid}`
  const out = fs.createWriteStream(`${name}.part`)
  for (const recipient of rcpt_to) out.write(`Delivered-To: ${recipient.address}\n`)
  out.on('finish', () => fs.rename(`${name}.part`, name, () => next(OK)))
  message_stream.pipe(out, { line_endings: '\n' })
}
