#pragma once
/// The web page that is built into the program (web/dist/index.html).

#include "cadre/server/http.h"

namespace cadre::server {

/// The page, or 304 when the client's If-None-Match names this version.
HttpResponse web_page(const HttpRequest& request);

}  // namespace cadre::server
