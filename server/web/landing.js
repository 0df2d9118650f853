/** The landing page needs nothing but its words. */
import { fillPage } from "./lib/words.js";

fillPage();
