package v2store_test

// script has the requests that do not update directories.
const script = `
GET /
GET /?recursive=true&sorted=true
HEAD /
GET /a
HEAD /a
PUT /a?value=1
PUT /a value=%3Cb%3E%26%22%E2%80%A8%5C%01%FF
GET /a
PUT /a/b?value=1
GET /a/b/c
PUT /
PUT /?dir=true
PUT /?prevExist=true&value=1
PUT /?prevIndex=1&value=1
DELETE /?recursive=true
DELETE /?prevIndex=3
DELETE /?prevValue=x
POST / value=root
POST /q value=1
POST /q?dir=true
GET /q?sorted=true
POST /a value=1
PUT /d?dir=true
PUT /d?dir=true
PUT /d?value=1
PUT /d/e/f/g?value=deep
PUT /d/_hidden?value=1
GET /d?recursive=true&sorted=true
GET /d/_hidden
DELETE /d
DELETE /d?dir=true
PUT /e?dir=true&prevExist=false
PUT /e?dir=true&prevExist=false
DELETE /e?dir=true
PUT /n?value=1&prevExist=true
PUT /n?value=1&prevExist=false
PUT /n?value=1&prevExist=false
PUT /n?value=2&prevExist=true
PUT /n?value=3&prevValue=1
PUT /n?value=3&prevIndex=1
PUT /n?value=3&prevIndex=1&prevValue=1
PUT /n?value=3&prevValue=2
PUT /n?value=3&prevIndex=0
PUT /n?value=3&noValueOnSuccess=true
PUT /n?value=3&noValueOnSuccess=true&prevExist=true
DELETE /n?prevValue=1
DELETE /n?prevIndex=0&noValueOnSuccess=true
PUT /n?value=%2b+&dir=FALSE value=body&value=second
PUT /n?dir=true
DELETE /n/?recursive=T
PUT /u%2520x/%C3%A9?value=1
GET /u%2520x
PUT /_?value=1
GET /_
GET /a?recursive=yes
GET /a?recursive
GET /a?sorted=
GET /a?wait=maybe
GET /a?quorum=true&wait=true
HEAD /a?wait=true
PUT /a?wait=true
GET /a?waitIndex=x
GET /a?prevIndex=-1
GET /a?prevValue=
GET /a?prevExist=
GET /a?stream=2
GET /a?dir=2
GET /a?noValueOnSuccess=2
GET /a?ttl=x
GET /a?ttl=
GET /a?a=%zz
GET /a?a;b
GET /a?refresh=2
PUT /a?refresh=true
PUT /a?refresh=true&value=1&ttl=5
PUT /a?refresh=true&value=&ttl=
PUT /missing?refresh=true&ttl=5
PUT /a/missing?refresh=true&ttl=5
PUT /a ttl=x&value=1
DELETE /a value=1&prevValue=2
`
