/** Languages to choose from (BCP 47 primary subtags); names come from the browser, in the person's language. */
export const CODES = (
  "af am ar az be bg bn bs ca cs cy da de el en es et eu fa fi fil fo fr ga gl gu ha he hi hr hu hy id ig is it ja ka kk " +
  "km kn ko ku ky lo lt lv mk ml mn mr ms my nb ne nl nn om pa pl ps pt ro ru rw sd si sk sl so sq sr sv sw ta te tg th " +
  "ti tk tr uk ur uz vi xh yo yue zh zu"
).split(" ");
