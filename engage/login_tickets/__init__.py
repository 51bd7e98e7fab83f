"""Log-in of staff on a web page: it shows a QR code, and a phone that is logged in says yes."""
