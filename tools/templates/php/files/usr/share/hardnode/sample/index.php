<?php
header("Cache-Control: no-store");
echo "PHP ", PHP_VERSION, " on ", gethostname(), ". Deploy a site of your own: hnctl jem NODE deploy archive app\n";
